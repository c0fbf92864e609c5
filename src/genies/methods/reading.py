"""How the representation of a text is read: in which templates and at which token. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from genies.errors import InputError
from genies.files import write_json
from genies.lm.sites import ReadAt
from genies.methods.base_model import read_record
from genies.methods.templates import PLAIN, Template, Templates

FILE_NAME = "reading.json"


@dataclass(frozen=True)
class Reading:
    """How a text is read. It is recorded in the tuned model's folder, so that evaluation reads like training."""

    templates: Templates = PLAIN
    read_at: ReadAt = "last_response"

    def save(self, folder: Path) -> None:
        """Write reading.json."""
        templates = [asdict(template) for template in self.templates]
        write_json(folder / FILE_NAME, {"read_at": self.read_at, "templates": templates})

    @classmethod
    def load(cls, folder: Path) -> Reading:
        """Load what `save` wrote; InputError if the file is missing, as in folders of older versions, or damaged."""
        path = folder / FILE_NAME
        if not path.exists() and not (folder / "config.json").is_file():
            raise InputError(f"{path} does not exist, so the token read in training is unknown; train again")
        value = read_record(folder, FILE_NAME, "record of the reading")
        try:
            templates = tuple(Template(**template) for template in value["templates"])
            if value["read_at"] not in get_args(ReadAt) or len(templates) not in (1, 2):
                raise ValueError(f"read_at {value['read_at']!r} and {len(templates)} templates")
            if not all(isinstance(text, str) for template in templates for text in asdict(template).values()):
                raise TypeError("a template is not text")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged ({error!r}); train again") from None
        return cls(templates, value["read_at"])
