"""Write the golden payloads of values that have none yet."""

from __future__ import annotations

import json
import re
from pathlib import Path

from golden_compressed import GOLDEN_COMPRESSED, GOLDEN_LISTS
from golden_values import GOLDEN_VALUES, is_allowed

from airflow_xcom.codecs import encode, registry

HERE = Path(__file__).parent


def main() -> None:
    """Add what is missing."""
    registry.allow_classes(is_allowed)
    for name, make in GOLDEN_VALUES.items():
        stem = HERE / "v1" / re.sub(r"\W+", "-", name).strip("-")
        if not stem.with_suffix(".json").exists():
            payload = encode(make())
            stem.with_suffix(f".{payload.format}").write_bytes(payload.to_bytes())
            stem.with_suffix(".json").write_text(json.dumps({"name": name, "data": payload.to_json()}) + "\n")
    for folder, values in (("v2", GOLDEN_COMPRESSED), ("v3", GOLDEN_LISTS)):
        for name, (make, compression) in values.items():
            payload = encode(make(), compression=compression)
            path = HERE / folder / f"{name}.{payload.format}"
            if not path.exists():
                path.write_bytes(payload.to_bytes())


if __name__ == "__main__":
    main()
