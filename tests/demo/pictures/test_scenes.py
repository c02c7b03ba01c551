from demo.pictures.scenes import OF_KNOWN_TEXTS, OF_NEW_TEXTS, Scene, of_damage
from kvtransfer.commands.verbs import VERBS


def test_a_scene_is_what_the_command_prints(tmp_path):
    Scene("alone", "top 127.0.0.1:1 --interval 0.1 --count 1").take(tmp_path, tmp_path)
    text = (tmp_path / "alone.svg").read_text().replace("&#160;", " ")
    assert "kvtransfer top 127.0.0.1:1 --interval 0.1 --count 1" in text
    assert "no answer from 127.0.0.1:1: Connection refused" in text


def test_each_scene_is_of_a_verb_and_has_a_name_of_its_own():
    scenes = (*OF_KNOWN_TEXTS, *OF_NEW_TEXTS, *of_damage("key"))
    assert {scene.arguments.split()[0] for scene in scenes} <= set(VERBS)
    assert len({scene.name for scene in scenes}) == len(scenes)
