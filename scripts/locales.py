"""Write locales/en/nodeDefs.json from the nodes themselves: `python scripts/locales.py --server http://127.0.0.1:8188`.

Translators copy the folder `en`; the English texts have one home, the schemas of the nodes.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "locales" / "en" / "nodeDefs.json"
CATEGORY = "concept erasure"


def node_defs(info: dict) -> dict:
    """Texts of this pack's nodes in ComfyUI's format, from /object_info."""
    found = {}
    for name, node in sorted(info.items()):
        if node["category"] != CATEGORY:
            continue
        inputs = {}
        for part in ("required", "optional"):
            for key, (_, *options) in node["input"].get(part, {}).items():
                options = options[0] if options else {}
                inputs[key] = {"name": options.get("display_name", key), "tooltip": options.get("tooltip", "")}
        outputs = {str(i): {"name": n, "tooltip": t or ""} for i, (n, t) in enumerate(zip(node["output_name"], node.get("output_tooltips") or [""] * 99))}
        found[name] = {"display_name": node["display_name"], "description": node["description"], "inputs": inputs, "outputs": outputs}
    return found


def text(info: dict) -> str:
    return json.dumps(node_defs(info), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    args = parser.parse_args()
    with urllib.request.urlopen(args.server + "/object_info") as answer:
        info = json.loads(answer.read())
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text(info), encoding="utf-8")
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
