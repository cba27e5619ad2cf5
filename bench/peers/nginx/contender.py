"""nginx twice: with Lua, as the same tracker; and with its own access log, as the limit of what asks no questions."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from bench.peers.contender import Contender, first_line, needs

HERE = Path(__file__).parent
DEBIAN = "apt-get install nginx libnginx-mod-http-lua lua-cjson"
# Where Debian and its like put the modules; OpenResty has Lua built in.
MODULES = Path("/usr/lib/nginx/modules")
LUA_MODULES = ("ndk_http_module.so", "ngx_http_lua_module.so")
_SBIN = "/usr/sbin:/usr/local/openresty/bin"


def _which(tool: str) -> str:
    return shutil.which(tool) or shutil.which(tool, path=_SBIN) or tool


def _configure(source: str, folder: Path, port: int, modules: str) -> Path:
    text = (HERE / source).read_text("utf-8")
    if os.geteuid() != 0:
        text = text.replace("user root;\n", "")
    for name, value in {"FOLDER": folder, "PORT": port, "MODULES": modules, "HERE": HERE}.items():
        text = text.replace(f"@{name}@", str(value))
    target = folder / "nginx.conf"
    target.write_text(text, "utf-8")
    return target


def _started(server: str, configuration: Path) -> list[str]:
    return [_which(server), "-p", str(configuration.parent), "-c", str(configuration)]


def _lua_server() -> str:
    return "openresty" if shutil.which("openresty") or shutil.which("openresty", path=_SBIN) else "nginx"


def _lua_missing() -> str:
    if _lua_server() == "openresty":
        return ""
    absent = "" if shutil.which("nginx", path=os.environ.get("PATH", "") + ":" + _SBIN) else needs("nginx", DEBIAN)
    if not absent and not all((MODULES / name).exists() for name in LUA_MODULES):
        absent = f"nginx has no Lua module: {DEBIAN}"
    return absent


def _lua_command(folder: Path, port: int) -> list[str]:
    server = _lua_server()
    modules = "" if server == "openresty" else "\n".join(f"load_module {MODULES / name};" for name in LUA_MODULES)
    return _started(server, _configure("lua.conf", folder, port, modules))


def _lua_version() -> str:
    said = first_line(_which(_lua_server()), "-v").removeprefix("nginx version: ")
    return said if _lua_server() == "openresty" else f"{said}, Debian's Lua module, LuaJIT"


NGINX_LUA = Contender(
    name="nginx-lua",
    stack="nginx with Lua (OpenResty's module), cjson, a table as buffer",
    command=_lua_command,
    events=lambda folder: [folder / "events.ndjson"],
    missing=_lua_missing,
    version=_lua_version,
    leaves_out="no sync of the file at all; up to 200 ms of answered hits are in the process only; no robots by user "
    "agent, no client ids or times, no cap on bad events, money to 14 digits",
    stop=signal.SIGQUIT,
)

NGINX_LOG = Contender(
    name="nginx-log",
    stack="nginx, access_log as JSON, buffered",
    command=lambda folder, port: _started("nginx", _configure("access_log.conf", folder, port, "")),
    events=lambda folder: [folder / "events.ndjson"],
    missing=lambda: "" if shutil.which("nginx", path=os.environ.get("PATH", "") + ":" + _SBIN) else
    needs("nginx", "apt-get install nginx"),
    version=lambda: first_line(_which("nginx"), "-v").removeprefix("nginx version: "),
    leaves_out="no logic: nothing is checked, typed, truncated or decoded; no time-ordered id, no position, no sync",
    routes=(),
    stop=signal.SIGQUIT,
)
