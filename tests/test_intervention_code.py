"""Which files determine a training, and which an evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from genies.declaration import Role
from genies.errors import InputError
from genies.file_hashes import FileHashes
from genies.intervention_code import determining, intervention_identity


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """train.py imports fitting, eval.py scoring and the package parts; both reach shared."""
    files = {
        "train.py": "from fitting import fit\n",
        "fitting.py": "def fit():\n    import shared\n",
        "eval.py": "import scoring, parts.deep\n",
        "scoring.py": "import shared as s\nimport json\n",
        "shared.py": "",
        "parts/__init__.py": "from . import inner\n",
        "parts/inner.py": "",
        "parts/deep.py": "from ..scoring import x\nfrom .inner import y\n",
        "unused.py": "",
        "words.json": "[]",
        "README.md": "notes",
        "notes.txt": "notes",
        "intervention.json": "{}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def counted(folder: Path, role: Role) -> set[str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in determining(folder, paths, role)}


BOTH = {"shared.py", "unused.py", "words.json"}
OF_TRAINING = {"train.py", "fitting.py", *BOTH}
OF_EVALUATION = {"eval.py", "scoring.py", "parts/__init__.py", "parts/inner.py", "parts/deep.py", *BOTH}


def test_imports_are_followed_and_other_files_count_for_both(folder: Path) -> None:
    assert counted(folder, "train") == OF_TRAINING
    assert counted(folder, "evaluate") == OF_EVALUATION


@pytest.mark.parametrize(
    "line",
    [
        "import importlib\n",
        "from importlib import import_module\n",
        "__import__('scoring')\n",
        "exec('import scoring')\n",
        "import sys\nsys.path.insert(0, 'parts')\n",
        "from sys import path\n",
        "import runpy\n",
        "def broken(:\n",
        "text = '\\0'\n\0",
    ],
)
def test_where_imports_cannot_be_told_every_file_counts(folder: Path, line: str) -> None:
    (folder / "fitting.py").write_text(line)
    assert counted(folder, "train") == OF_TRAINING | OF_EVALUATION
    assert counted(folder, "evaluate") == OF_EVALUATION | {"fitting.py"}


def test_a_script_that_is_a_link_imports_from_elsewhere(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "train.py"
    (folder / "train.py").rename(elsewhere)
    (folder / "train.py").symlink_to(elsewhere)
    assert counted(folder, "train") == OF_TRAINING | OF_EVALUATION


def test_a_script_that_is_run_or_read_by_its_name_counts(folder: Path) -> None:
    (folder / "train.py").write_text(
        '"""Used by eval.py."""\nimport subprocess\nsubprocess.run(["python", "scoring.py"])'
    )
    assert counted(folder, "train") == {"train.py", "scoring.py", "fitting.py", *BOTH}


def test_notes_count_where_a_script_names_them(folder: Path) -> None:
    (folder / "shared.py").write_text("open('notes.txt')\n")
    assert counted(folder, "train") == OF_TRAINING | {"notes.txt"}
    assert counted(folder, "evaluate") == OF_EVALUATION | {"notes.txt"}


def test_a_module_named_eval_may_be_imported(folder: Path) -> None:
    (folder / "train.py").write_text("import eval\nmodel.eval()\n")
    assert counted(folder, "train") == OF_EVALUATION | {"train.py", "fitting.py"}


def test_imports_in_a_circle_end(folder: Path) -> None:
    (folder / "shared.py").write_text("import fitting\nimport shared\n")
    assert counted(folder, "train") == OF_TRAINING


def test_the_project_s_own_interventions_can_be_told(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2] / "src" / "interventions"
    for folder in root.glob("*/"):
        if (folder / "eval.py").exists():
            assert "eval.py" not in counted(folder, "train"), folder
            assert "train.py" not in counted(folder, "evaluate"), folder


def test_the_declaration_is_part_of_no_hash(folder: Path) -> None:
    before = intervention_identity(FileHashes(None), folder, "train")
    (folder / "intervention.json").unlink()
    assert intervention_identity(FileHashes(None), folder, "train") == before


def test_a_link_to_a_folder_above_is_refused(folder: Path) -> None:
    (folder / "root").symlink_to("/")
    with pytest.raises(InputError, match="is a link to /, "):
        intervention_identity(FileHashes(None), folder, "train")
