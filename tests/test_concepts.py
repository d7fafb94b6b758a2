"""The candidate set never contains what is erased; encoding happens once."""

import pytest

from erasure.concepts import build_concept_space, exclusions, load_vocabulary
from erasure.errors import ErasureError


def test_english_has_three_thousand_words_and_the_ones_the_literature_needs(tiny):
    words = [w.text for w in load_vocabulary("english", tiny)]
    assert 2900 <= len(words) <= 3100 and len({w.lower() for w in words}) == len(words)
    assert {"church", "person", "naked", "road", "dog", "violin", "cartoon"} <= set(words)


def test_demo_has_at_least_130_concepts_in_7_styles(tiny):
    words = load_vocabulary("demo", tiny)
    assert sum(w.category != "style" for w in words) >= 130 and sum(w.category == "style" for w in words) >= 7


def test_clip_vocabulary_is_whole_words_of_the_tokenizer(tiny):
    words = [w.text for w in load_vocabulary("clip", tiny)]
    assert len(words) > 100 and all(w.isalpha() and len(w) >= 3 for w in words)
    assert all(len(tiny.tokenize(w)) == 1 for w in words[:50])


@pytest.mark.parametrize("source, expected", [(["a", "b", "a", " "], ["a", "b"]), ("words.txt", ["bus", "red car"]), ("words.csv", ["bus", "cat"])])
def test_own_lists_and_files(tiny, tmp_path, source, expected):
    (tmp_path / "words.txt").write_text("# mine\nbus\n\n red car \n")
    (tmp_path / "words.csv").write_text("word,category\nbus,vehicle\ncat,animal\n")
    found = load_vocabulary(tmp_path / source if isinstance(source, str) else source, tiny)
    assert [w.text for w in found] == expected


def test_the_erased_concept_its_tokens_its_synonyms_and_your_words_are_excluded(tiny):
    words = ["Fuel Pump", "fuel pumps", "red fuel pump", "gas pump", "petrol pump", "bus", "cat", "pump organ"]
    reasons = exclusions(tiny, words, ["fuel pump"], extra=["cat"])
    assert set(words) - set(reasons) == {"bus", "pump organ"}
    assert "synonym" in reasons["gas pump"] and "tokens" in reasons["red fuel pump"] and reasons["cat"] == "excluded by you"


@pytest.mark.parametrize("erased, hit", [
    ("a fuel pump", ["fuel pump", "fuel pumps", "gas pump", "red gas pump"]), ("the church", ["church", "Churches"]), ("strawberry", ["strawberries"]),
])
def test_articles_plurals_and_phrases_do_not_hide_the_erased_concept(tiny, erased, hit):
    assert set(exclusions(tiny, [*hit, "bus"], [erased])) == set(hit)


def test_synonyms_work_both_ways(tiny):
    assert "fuel pump" in exclusions(tiny, ["fuel pump", "bus"], ["gas pump"])


@pytest.mark.parametrize("similarity", ["l2", "cosine"])
def test_nearest_are_nearest(demo, similarity):
    space = build_concept_space(demo, "demo", erased=["ambulance"], top_k=20, similarity=similarity)
    assert len(space) == 20 and (space.distance.diff() >= 0).all() and "ambulance" not in space.words


def test_thinning_spreads_over_the_distance(demo):
    space = build_concept_space(demo, "demo", erased=["dog"], top_k=100, centers=10)
    everything = build_concept_space(demo, "demo", erased=["dog"], top_k=100)
    assert 2 <= len(space) <= 10 and len(set(space.words)) == len(space)
    assert space.distance.max() > everything.distance.median() > space.distance.min()


def test_encoding_is_cached_by_content(tiny, monkeypatch):
    words = [f"thing {i}" for i in range(300)]
    first = build_concept_space(tiny, words)
    calls = []
    encode = tiny.encode
    monkeypatch.setattr(tiny, "encode", lambda prompts: calls.append(len(prompts)) or encode(prompts))
    again = build_concept_space(tiny, words)
    assert sum(calls) == 1  # the probe prompt that identifies the text encoder
    assert (first.cond.tensors["context"] == again.cond.tensors["context"]).all()
    build_concept_space(tiny, [*words, "one more"])
    assert sum(calls) > 300


@pytest.mark.parametrize("source", ["no-such-vocabulary", ["", " "], "latin1.txt", "table.csv", "folder"])
def test_bad_vocabularies_name_field_and_remedy(tiny, tmp_path, source):
    (tmp_path / "latin1.txt").write_bytes("caf\xe9".encode("latin1"))
    (tmp_path / "table.csv").write_text("name\nbus\n")
    (tmp_path / "folder").mkdir()
    path = tmp_path / source if isinstance(source, str) and (tmp_path / source).exists() else source
    with pytest.raises(ErasureError, match="^vocabulary: .*[.]"):
        load_vocabulary(path, tiny)


def test_nothing_left_is_an_error(tiny):
    with pytest.raises(ErasureError, match="nothing is left"):
        build_concept_space(tiny, ["church"], erased=["church"])


def test_objects_are_things_and_artists_are_names(tiny):
    objects = {w.text for w in load_vocabulary("objects", tiny)}
    assert {"guitar", "dog", "banana"} <= objects and not {"justice", "running"} & objects
    artists = [w.text for w in load_vocabulary("artists", tiny)]
    assert "Vincent van Gogh" in artists and len(artists) > 200 and len({a.lower() for a in artists}) == len(artists)


def test_words_are_added_once(tiny):
    space = build_concept_space(tiny, ["dog", "cat"])
    assert space.with_words(tiny, ["cat", "bus", "bus"]).words == ("dog", "cat", "bus")
    assert space.with_words(tiny, ["dog"]) is space
