from tests.support.scripts import evaluate, train, write_distribution


def test_the_longer_response_is_preferred_by_its_share_of_the_characters(tmp_path):
    test = [
        {"prompt": "a", "responses": {"123456": 1.0, "12": 0.0}},
        {"prompt": "b", "responses": {"1": 1.0, "123": 0.0, "1ä": 0.0}},
        {"prompt": "c", "responses": {"ab": 1.0, "cd": 0.0}},
    ]
    data = write_distribution(tmp_path / "d", test, test)
    tuned = train("length", tmp_path / "no model", data, tmp_path / "tuned")
    [found] = evaluate("length", tuned, [data], tmp_path)
    assert found["eval_probabilities"] == [6 / 8, 1 / 4, 1 / 3, 1 / 2]
    assert found["eval_accuracy"] == (1 + 0 + 0 + 0.5) / 4
