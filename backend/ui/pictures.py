"""Images as PNG files, made without a library of images: those of Pillow, and arrays of bytes with channels."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np

from airflow_xcom.backend.errors import SelectionTooLargeError
from airflow_xcom.backend.ui.payload_tree import inner, read_bytes
from airflow_xcom.codecs import CorruptPayloadError, SelectionError, Tagged
from airflow_xcom.codecs.errors import any_error_as_corrupt
from airflow_xcom.codecs.payload_nodes import Memory
from airflow_xcom.codecs.quoting import quoted

_SIDE = 1024  # pixels of a picture that is shown
_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by the channels
_PALETTES = ("RGB", "RGBA")
_CHANNELS = {"1": 1, "L": 1, "P": 1, "LA": 2, "PA": 2, "RGB": 3, "RGBA": 4, "RGBX": 4, "CMYK": 4}  # by Pillow's mode
_OPAQUE = 255
_LONGEST = 1 << 31  # pixels of a side
_DRAWN = 256 << 20  # bytes of all channels


def is_image(node: Any) -> bool:
    """Return whether a node is an image of Pillow that can be drawn."""
    found = inner(node)
    if not isinstance(node, Tagged) or node.tag != "PIL.Image" or type(found) is not list or len(found) != 5:  # noqa: PLR2004
        return False
    mode, size, *_ = found
    is_size = type(size) is list and len(size) == 2 and all(type(side) is int and 0 < side < _LONGEST for side in size)  # noqa: PLR2004
    return type(mode) is str and mode in _CHANNELS and is_size


def image_text(node: Any) -> str:
    """Return the size and the mode of an image of Pillow."""
    mode, (width, height), *_ = inner(node)
    return f"{width} x {height} pixels, {mode}"


def is_array_of_images(dtype: str, shape: Sequence[int]) -> bool:
    """Return whether an array is an image with one, three or four channels, or several such images."""
    has_channels = len(shape) in {3, 4} and shape[-1] in {1, 3, 4}
    return dtype == "|u1" and min(shape, default=0) > 0 and (len(shape) == 2 or has_channels)  # noqa: PLR2004


def _bytes(data: Any) -> Any:
    if not isinstance(data, bytes | memoryview | Memory):  # bytes(n) would make n zeros
        raise CorruptPayloadError("the pixels of an image are not bytes")
    return np.frombuffer(bytes(read_bytes(data, 0, len(data))), np.uint8)


def pixels_of_array(shape: Sequence[int], elements: Any, order: Any, number: int) -> Any:
    """Return the pixels of an array: rows, columns and channels; of several images those of one.

    Raises:
        CorruptPayloadError: The bytes do not fit the shape.
        SelectionTooLargeError: There are too many.
        SelectionError: There is no such image.
    """
    with any_error_as_corrupt():
        pixels = _bytes(elements).reshape(shape, order=order)
    if len(shape) == 4:  # noqa: PLR2004 - images, rows, columns, channels
        if number >= len(pixels):
            raise SelectionError(f"the array has {len(pixels)} images")
        pixels = pixels[number]
    return pixels.reshape(*pixels.shape[:2], -1)


def pixels_of_image(node: Any) -> Any:
    """Return the pixels of an image of Pillow: rows, columns and channels.

    Raises:
        CorruptPayloadError: The payload is damaged.
        SelectionTooLargeError: There are too many.
    """
    mode, (width, height), colours, _, data = inner(node)
    found = _bytes(data)
    if width * height * 4 > _DRAWN:
        raise SelectionTooLargeError("this image", width * height * 4, _DRAWN)
    with any_error_as_corrupt():
        if mode == "1":
            return np.unpackbits(found.reshape(height, (width + 7) // 8), axis=1)[:, :width, None] * np.uint8(_OPAQUE)
        pixels = found.reshape(height, width, _CHANNELS[mode])
        if mode in {"P", "PA"}:
            name, palette = colours
            if name not in _PALETTES:
                raise CorruptPayloadError(f"{quoted(name)} is not a mode of a palette")
            known = _bytes(palette)[: 256 * len(name)].reshape(-1, len(name))
            table = np.zeros((256, len(name)), np.uint8)
            table[: len(known)] = known
            coloured = table[pixels[:, :, 0]]
            return coloured if mode == "P" else np.concatenate([coloured[:, :, :3], pixels[:, :, 1:]], axis=2)
    if mode == "CMYK":
        light = _OPAQUE - pixels.astype(np.uint16)
        return (light[:, :, :3] * light[:, :, 3:] // _OPAQUE).astype(np.uint8)
    return pixels[:, :, :3] if mode == "RGBX" else pixels


def picture(pixels: Any) -> dict[str, Any]:
    """Return a picture of at most 1,024 x 1,024 pixels as a PNG file in base 64, and every which pixel is in it."""
    height, width, _ = pixels.shape
    step = -(-max(height, width) // _SIDE)
    return {"png": b64encode(png(pixels[::step, ::step])).decode(), "step": step, "width": width, "height": height}


def png(pixels: Any) -> bytes:
    """Return a PNG file."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # the first byte of each: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    parts = [_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(rows.tobytes(), 3)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
