from xml.etree import ElementTree

from rich.text import Text

from demo.pictures.drawing import drawn

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [
        node.text.replace("\xa0", " ")
        for node in ElementTree.fromstring(svg).iter(f"{SVG}text")
        if node.text.strip()
    ]


def test_the_command_and_each_line_are_drawn():
    svg = drawn("kvtransfer ls", [Text("one"), Text(""), Text("two  <b>&")], 40)
    assert texts(svg) == ["$ ", "kvtransfer ls", "one", "two  <b>&"]


def test_nothing_comes_from_elsewhere():
    svg = drawn("kvtransfer ls", [Text("one")], 40)
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "@font-face" not in svg


def test_colours_are_drawn():
    svg = drawn("x", [Text.assemble(("bad", "red"), " ", ("good", "green"))], 40)
    fills = {
        node.text: node.get("class") for node in ElementTree.fromstring(svg).iter(f"{SVG}text")
    }
    assert len({fills["bad"], fills["good"], fills["x"]}) == 3


def test_there_is_room_for_every_line_and_every_column():
    svg = drawn("x", [Text("y" * 50)] * 9, 50)
    root = ElementTree.fromstring(svg)
    width, height = (float(size) for size in root.get("viewBox").split()[2:])
    last = list(root.iter(f"{SVG}text"))[-1]
    assert float(last.get("y")) + 20 < height
    assert float(last.get("textLength")) < width
