"""The page about redirects is true: its examples in four languages make the documented signatures, and its settings load."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from tracker.capture import routing
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.settings.load import load
from tracker.settings.model import LongReply, Redirect, Route, Routes, Settings, Tracker

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PAGE = (HOWTO / "redirects.md").read_text("utf-8")
VECTORS: list[dict[str, str]] = json.loads((HOWTO / "signatures.json").read_text("utf-8"))
SECRET = "a secret for the tests of the page"


def example(language: str) -> str:
    """The page's one block of that language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    return str(block)


def need(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not here: apt-get install {tool}")
    return found


def run(*command: str, text: str = "", **options: Any) -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", timeout=300, check=True, **options).stdout


def arguments(vector: dict[str, str]) -> list[str]:
    return [vector[name] for name in ("secret", "kid", "exp", "path", "destination")]


def front(vector: dict[str, str]) -> str:
    return "https://t.example" + vector["link"].partition("?")[0]


def in_node(_: Path) -> list[list[str]]:
    program = example("js") + """
    const made = JSON.parse(require("fs").readFileSync(0, "utf8")).map(v =>
      [sign(v.secret, v.kid, v.exp, v.path, v.destination), link("https://t.example" + v.link.split("?")[0], v.destination, v.kid, v.exp, v.secret)]);
    console.log(JSON.stringify(made));
    """
    return json.loads(run(need("node"), "-e", program, text=json.dumps(VECTORS)))  # type: ignore[no-any-return]


def in_go(folder: Path) -> list[list[str]]:
    tool = need("go")
    (folder / "sign.go").write_text(example("go"), "utf-8")
    (folder / "main.go").write_text("""package main
import ("encoding/json"; "os"; "strings")
func main() {
	var vectors []map[string]string
	if err := json.NewDecoder(os.Stdin).Decode(&vectors); err != nil { panic(err) }
	made := [][]string{}
	for _, v := range vectors {
		finished, err := link("https://t.example" + strings.Split(v["link"], "?")[0], v["destination"], v["kid"], v["exp"], v["secret"])
		if err != nil { panic(err) }
		made = append(made, []string{sign(v["secret"], v["kid"], v["exp"], v["path"], v["destination"]), finished})
	}
	json.NewEncoder(os.Stdout).Encode(made)
}
""", "utf-8")  # fmt: skip
    environ = os.environ | {"GO111MODULE": "off", "GOFLAGS": "", "GOTELEMETRY": "off", "HOME": os.environ.get("HOME", str(folder))}
    return json.loads(run(tool, "run", "sign.go", "main.go", text=json.dumps(VECTORS), cwd=folder, env=environ))  # type: ignore[no-any-return]


def in_python(_: Path) -> list[list[str]]:
    names: dict[str, Callable[..., str]] = {}
    exec(example("python"), names)
    return [[names["sign"](*arguments(v)), names["link"](front(v), v["destination"], v["kid"], v["exp"], v["secret"])] for v in VECTORS]


def in_shell(_: Path) -> list[list[str]]:
    need("openssl")
    return [[run("sh", "-c", example("sh") + 'sign "$@"', "sh", *arguments(vector)), "https://t.example" + vector["link"]] for vector in VECTORS]


@pytest.mark.parametrize("made", [in_node, in_go, in_python, in_shell])
def test_an_example_makes_the_documented_signatures(made: Callable[[Path], list[list[str]]], tmp_path: Path) -> None:
    """Each vector's `sig`; and links with its parameters, on its path."""
    found = made(tmp_path)
    assert [sig for sig, _ in found] == [vector["sig"] for vector in VECTORS]
    for (_, link), vector in zip(found, VECTORS, strict=True):
        url, documented = urlsplit(link), urlsplit(vector["link"])
        assert unquote(url.path) == vector["path"]
        assert sorted(parse_qsl(url.query, keep_blank_values=True)) == sorted(parse_qsl(documented.query, keep_blank_values=True))


@pytest.mark.parametrize("made", [in_node, in_go, in_python])
def test_a_tracker_takes_the_links_of_the_examples(made: Callable[[Path], list[list[str]]], tmp_path: Path) -> None:
    """However the language encodes them."""
    redirect = LongReply(redirect=Redirect(to="query.url", signed_by="clicks"))
    routes = Routes(routes={"click": Route(path="/click/{campaign}/{creative}", reply=redirect)})
    for (_, link), vector in zip(made(tmp_path), VECTORS, strict=True):
        tracker = Tracker(signing_keys={"clicks": {vector["kid"]: vector["secret"]}})
        assert list(routing.check(tracker, routes)) == []
        url = urlsplit(link)
        door = Endpoint(Settings(tracker=tracker, routes=routes, version="0" * 12), lambda _: "id-0")
        answer = door.answer(Hit("GET", unquote(url.path), url.query, {}, b"", "", 1_763_675_618_123))
        assert (answer.reply.fixed.status, answer.reason) == (302, ""), vector["name"]
        assert [event.lane for event in answer.events] == ["good"], vector["name"]


def test_the_settings_of_the_page_load_together(tmp_path: Path) -> None:
    """`tracker.yaml` and `routes.yaml` as they stand there, with the secret in the environment."""
    blocks = dict(re.findall(r"^```\{code-block\} yaml\n:caption: (\S+)\n(.*?)^```", PAGE, re.M | re.S))
    assert set(blocks) == {"tracker.yaml", "routes.yaml"}
    for name, text in blocks.items():
        (tmp_path / name).write_text(text, "utf-8")
    settings = load(tmp_path / "tracker.yaml", tmp_path / "routes.yaml", {"CLICKS_2026A": SECRET}, {}, [routing.check])
    assert settings.tracker.signing_keys == {"clicks": {"2026a": SECRET}}


def test_the_pages_curl_line_is_answered_as_it_says(tmp_path: Path) -> None:
    """By the table above it."""
    (table,) = [block for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S) if "allow:" in block]
    (tmp_path / "routes.yaml").write_text(table, "utf-8")
    settings = load(None, tmp_path / "routes.yaml", {}, {}, [routing.check])
    found = re.search(r"curl -i '([^']+)'\n\S+ (\d+).*\nLocation: (\S+)", PAGE)
    assert found is not None
    url = urlsplit(found[1])
    answer = Endpoint(settings, lambda _: "019b...").answer(Hit("GET", url.path, url.query, {}, b"", "", 1_763_675_618_123))
    assert (str(answer.reply.fixed.status), dict(answer.reply.extra)["Location"]) == (found[2], found[3])


def test_the_formula_on_the_page_is_that_of_the_first_vector() -> None:
    """Its five lines, without what is said about them."""
    (block,) = re.findall(r"^```text\n(tracker-redirect-1\n.*?)```", PAGE, re.M | re.S)
    assert [line.partition("  ")[0] for line in block.splitlines()] == VECTORS[0]["text"].split("\n")
