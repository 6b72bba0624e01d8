"""Write reference/configuration.md from the options themselves: python
docs/make_configuration.py.
"""

from __future__ import annotations

from pathlib import Path

from alteraser.cli.commands import Made
from alteraser.cli.configured import COMMANDS, OF_THE_CALL, PREFIX

HEAD = f"""# Configuration of the service

The options of `alteraser {"` and `alteraser ".join(COMMANDS)}` come from the command line, from the
environment and from a TOML file:

```toml
# alteraser.toml
state = "/var/lib/alteraser"
host = "127.0.0.1"
port = 8080
no-worker = true
```

```console
alteraser serve --config alteraser.toml
ALTERASER_PORT=9090 alteraser serve --config alteraser.toml
```

The command line counts before the environment, that before the file, that before the default.
`ALTERASER_CONFIG` names the file as `--config` does. In the file a key is the option's name, with
`-` or with `_`; a key that is no option is an error that names it, and so is a value of another
type or out of range. One file can be for both commands: each takes what it knows. A switch in the
environment is `1`, `true`, `0` or `false`. Paths are seen from the working directory. On
Kubernetes set `enableServiceLinks: false` if the service is called `alteraser`: what it puts into
`ALTERASER_PORT` is no port.

| key | variable | command | default | |
|---|---|---|---|---|
"""


def written() -> str:
    """The page."""
    rows: dict[str, list[str]] = {}
    taken: dict[str, list[str]] = {}
    for command in COMMANDS:
        for each in Made()[command].params:
            if each.name in OF_THE_CALL:
                continue
            key = each.opts[0].removeprefix("--")
            default = "" if each.default is None or each.default is False else f"`{each.default}`"
            default = "(needed)" if each.required else default
            rows.setdefault(
                key, [f"`{key}`", f"`{PREFIX}_{each.name.upper()}`", "", default, each.help]
            )
            taken.setdefault(key, []).append(command)
    for key, row in rows.items():
        row[2] = ", ".join(taken[key])
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows.values()]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).parent / "reference" / "configuration.md"
    path.write_text(written(), encoding="utf-8")
