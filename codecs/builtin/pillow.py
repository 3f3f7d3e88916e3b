"""Pillow images: ``[mode, size, [mode of the palette, its bytes] or null, info, pixels]``."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImagePalette

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError, UnsupportedValueError
from airflow_xcom.codecs.nodes import Buffer, as_dict, as_list, as_text
from airflow_xcom.codecs.quoting import quoted

# Bits of a pixel; a row of pixels fills whole bytes.
_BITS = {"1": 1, "L": 8, "P": 8, "LA": 16, "PA": 16, "I;16": 16, "RGB": 24, "YCbCr": 24, "LAB": 24, "HSV": 24}
_BITS |= dict.fromkeys(("RGBA", "RGBa", "RGBX", "CMYK", "I", "F"), 32)
_LONGEST_EMPTY = 1_000_000  # pixels
_PALETTES = ("RGB", "RGBA")


def _encode(image: Any) -> list[Any]:
    if getattr(image, "_exif", None) is not None:
        raise UnsupportedValueError("the EXIF tags of the image were read, and may have been set; return value.copy()")
    if image.mode not in _BITS:
        stored = "LA" if image.mode == "La" else "I"
        raise UnsupportedValueError(
            f"an image of the mode {image.mode} is not stored; return value.convert('{stored}')"
        )
    if _is_endless(*image.size):
        raise UnsupportedValueError(f"an image without pixels of {image.size} is not stored; return value.size")
    image.load()  # its palette, if that was set
    mode = image.palette and image.palette.mode
    if mode and mode not in _PALETTES:
        raise UnsupportedValueError(f"a palette of the mode {mode} is not stored; return value.convert('RGBA')")
    if image.palette is None and image.getpalette():
        raise UnsupportedValueError("the image has colours and no palette; return value.convert('RGBA')")
    colours = [mode, bytes(image.im.getpalette(mode, mode))] if mode else None
    return [image.mode, list(image.size), colours, dict(image.info), Buffer(image.tobytes())]


def _is_endless(width: int, height: int) -> bool:
    """Return whether an image without pixels has a side for which Pillow takes memory nevertheless."""
    return not (width and height) and max(width, height) > _LONGEST_EMPTY


def _decode(node: Any, _version: int) -> Any:
    mode, (width, height), colours, info, pixels = as_list(node)
    if type(width) is not int or type(height) is not int or min(width, height) < 0 or _is_endless(width, height):
        raise CorruptPayloadError(f"an image of {quoted([width, height])} pixels")
    if len(pixels) != (width * _BITS[as_text(mode)] + 7) // 8 * height:
        raise CorruptPayloadError(f"{len(pixels)} bytes for {width} x {height} pixels of {mode}")
    image = Image.new(mode, (width, height))
    if width and height:
        image.frombytes(bytes(memoryview(pixels)))
    if colours is not None:
        palette, data = colours
        if palette not in _PALETTES:
            raise CorruptPayloadError(f"{quoted(palette)} is not a mode of a palette")
        image.palette = ImagePalette.raw(palette, bytes(memoryview(data)))  # bytes(n) would make n zeros
        image.palette.mode = palette  # else that of a palette without transparency
        image.load()
    else:
        image.palette = None  # that of an image which was unpickled; a new one has an empty one
    image.info = as_dict(info)
    return image


def _summarize(image: Any) -> dict[str, Any]:
    return {"mode": image.mode, "size": list(image.size)}


_STATE = ("_", "info", "palette", "im")
CODECS = (Codec("PIL.Image", (Image.Image,), _encode, _decode, summarize=_summarize, attributes=_STATE),)
