from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageOps

from fmx_runtime.errors import ImageError
from fmx_runtime.images.preprocess import to_pixels, to_tensor
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

GRAY = InputSpec(
    height=28,
    width=28,
    channels=1,
    scale=1 / 255,
    offset=0.0,
    resize="fit",
    polarity="light-on-dark",
)
AS_IS = replace(GRAY, polarity="any")
RGB = replace(GRAY, height=24, width=32, channels=3, polarity="any")


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return the image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def gray(image: Image.Image) -> NDArray[np.uint8]:
    """Return a gray image as the pixels that are expected of it."""
    return np.asarray(image)[:, :, np.newaxis]


def enlarged(boot: Image.Image) -> Image.Image:
    """Return the image five times as large, each pixel a square."""
    return boot.resize((140, 140), Image.Resampling.NEAREST)


def on_white(boot: Image.Image) -> Image.Image:
    """Return a dark boot, off the middle of a wide white sheet."""
    sheet = Image.new("L", (300, 160), 255)
    sheet.paste(ImageOps.invert(enlarged(boot)), (20, 10))
    return sheet


def colored(boot: Image.Image) -> Image.Image:
    """Return the boot in red on blue, twice as high as wide."""
    return ImageOps.colorize(boot.resize((40, 80)), "blue", "red")


def cut_out(boot: Image.Image) -> Image.Image:
    """Return a dark boot on a transparent background."""
    image = ImageOps.invert(enlarged(boot)).convert("LA")
    image.putalpha(enlarged(boot).point(lambda value: 255 if value else 0))
    return image.convert("RGBA")


@pytest.mark.parametrize(
    ("draw", "spec", "expected"),
    [
        (lambda boot: boot, GRAY, "ffc7351ed0f8bae5"),
        (enlarged, GRAY, "07a508db3a7482d4"),
        (on_white, GRAY, "acb1accd86305a50"),
        (on_white, AS_IS, "3690b5aa7f8f8df7"),
        (on_white, replace(GRAY, resize="stretch"), "5abc57b9641c880f"),
        (colored, GRAY, "943dac93a97f8a6e"),
        (colored, RGB, "ef555afb3d10c638"),
        (cut_out, GRAY, "07a508db3a7482d4"),
        (cut_out, RGB, "e292acd51d93c5f7"),
    ],
)
def test_pixels_are_pinned(
    draw: Callable[[Image.Image], Image.Image], spec: InputSpec, expected: str, boot: Image.Image
) -> None:
    """Images give the same pixels in every version."""
    pixels = to_pixels(encoded(draw(boot)), spec)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == expected


# small files of all formats, compressed with zlib and encoded as base64
ENCODED_FILES = {
    "gray.png": (
        "eNrrDPBz5+WS4mJgYOD19HAJAtI6QKzCASQYru9p3wCkKjxdHEMqbt2dcpDrgAJHWzHPt4LPhf+nv36i13wtaHIH"
        "X2nnA+/9l5Q8PxYusU3YliAk6sqhF3ixsf7nwwNdWjw3LEJb58+9/Ug/3uTGvcaJi7ZIXbd+fq16w52I+6UXEtZc"
        "O9ByIuI1z3bzIgOjNKvJEfwu3mrvdqwWffvvqZ1bnYvDgckLHoLc4unq57LOKaEJAIIcS0E="
    ),
    "palette-alpha.png": (
        "eNrrDPBz5+WS4mJgYOD19HAJAtI6QKzCxAwk+3ca/AdSnAE+Ia7///+fpmEjF7Ul5ZDxO6Agc0mQXzBD1P/pCvN6"
        "gdwSTxfHkIpbSy8Y8jU5CLQ+zBffwVgll7Va98uUqg7brr287AqR3a4dSRkz0uL+/TQ++vhByy6lL5wmHNOf/Znz"
        "c2pdmVXLwmcutkfOr3ZRac57evr/5dwAs5o/RXWfXVJulR7j1d9dt6z1eu3Dn/3xq18GVa5ZYxvxXdpBg39eqGXc"
        "cqD9DJ6ufi7rnBKaADaYVH0="
    ),
    "turned.jpg": (
        "eNr7f+P/AwYBLzdPNwZGRgYGRiBk+P+QQcm1IjONgcHXl0GLgYGBAygnxMDMAJJnYwCD/7cZnBlE+PiF+HlFhASE"
        "xEVFJOSMFOVkZORsdfRUjDwdfLzdHdxcA6KKkwJCc8Nc3VI6UnPLqxubGv0Seqf31E4rrmusARnCKCouLiclZ62o"
        "aF0T7BZcQzL4f4BBkINBhUGHmVGQgUmQkVmQ8f8RBikGBiZmkI8QgI2RhZWJGSinLsDAxMjMwsjCxAyVYmRiYGYR"
        "ZBVSNHRkE26c6LRQ1KgQqFASaACaIUB9rExAKXmgXcwMjKxIkoxMzIKFLELCRsaG/28x8DAzAl3DLMhgz1Dc4Gy0"
        "aFqRaEjKpAKGhoDYfP/sZpcYDeVPNprvz8fZJ7lNq1g+u/VrailPi9GGEwpPBFXWzGBkUOCImpvdtX1q0LPdYSZz"
        "pwgfeNzH7rzy4VwJlcUrRQ1SV83culJ037IVe3K2pq64G2GW+2rCzpPOp+b39/2eurf78O2enCizjFm9uV53X4Uu"
        "Wrlx27vgw/Kfj7HZPVm+zDthwUepIK8mhoWvuuSuLdNquLGqYVLVicfMD/h3Pp2dUS1jxB68Mn7RgyfRX6brPPlu"
        "ua16n9/VeIsP7bVsN6IzQ9zYXjXfSeKvfP21k+Nkzu5lZyVVHRlOXzfZfmVl0LfIsKVm9jceJHx/vI+lbcuu1SLS"
        "l4WWL1t/kVs7cIX7ozVFdQeEjuZ2JiUe67TN+PCPPfDO7rXfmg6kF1icPFZheWTl66qzXLcuHfnPwB4a6srVoLXi"
        "AEMCo62EZ4MAE4MDBzBQ5P/fBABYa/D5"
    ),
    "cmyk.jpg": (
        "eNoBrQNS/P/Y/+4ADkFkb2JlAGQAAAAAAP/bAEMAFA4PEg8NFBIQEhcVFBgeMiEeHBwePSwuJDJJQExLR0BGRVBa"
        "c2JQVW1WRUZkiGVtd3uBgoFOYI2XjH2Wc36BfP/AABQIACQALARDEQBNEQBZEQBLEQD/xAAbAAEAAwEBAQEAAAAA"
        "AAAAAAAABAUGAQIHA//EADIQAAIBAwMBBgQFBQEAAAAAAAECAAMEEQUhMRIGE0GBkaEiNHOxMjNCYXIkUXHR4fD/"
        "2gAOBEMATQBZAEsAAD8A2c2c2c2c4SFBJIAG5J8J5dlRGd2CqoySTgATjMqKWdgqqMkk4AESONQtjVKd6MjxPHrK"
        "5O0GmPcmgLpQR+s7ITvn4uPD/G4xmV6a7pz3Boi5UEfqOyk7+PHh7jESQCGAIIIO4I8ZYoyuiujBlYZBByCJYKyu"
        "oZGDKwyCDkEROz1OxERERETN3dSq9d1q1C5RiATsP7ceE+bavcXNW/rU7q4auaNRkBOw2OMgcDOJ891Svc1b2qlz"
        "XasaTsgJ2GxxsOBxErn1K0puyNVwynBHSefSRhQqEAhdj+4nlNNu6iK60sqwyD1Dj1iT7S8qUlV6DnoYBsHg+Uk2"
        "Op3mmVP6eqVXPxUzup4zt5cjeerTULzTKrLRqFelvipndSfHby5G8S7sLp7qkzOgXpOMg7Hy9Js+z+qV9VtqlStQ"
        "Wn0N09anZjyduRgY9ZrtC1Otqdu9StRVOhunqU7MeePDAx6xJctpaREREo9Xp9F31gHDqDk8Z4/1MN2vt+61YVQG"
        "xWphiTxkbYHkB6zGdq7futUFUBsVkBJPGRtgeQHrEw9585X+o33kOl+Un8RJ9n8nQ+mv2iaSz+TofTX7SBV/Nf8A"
        "kZm7z5yv9RvvE02nUu6s04y3xHH7/wDMT6B2btBaaNQGB1VR3rEEnOePbE23Z+1FrpFEYHVVHeMQTvnj2xElS0ll"
        "ERESHqFm12idBAZT4nbB/wDCU/aLR6mrUqPcOq1aTH8ZwuDzwDvsPeVOv6TU1SlR7l1WpTY/jOBg88A77D3iUtXs"
        "urFqhpo7E5IDtkmUdTszq1KllKlCoVxhFbc+oA95WHSNaoUQKVei4QABFxnHmB94n6ppdxTVEFLpUYUfEDgcSGez"
        "mqlwXtukMwBbrU4ycZIBJxvK99B1R6nVVt8F3GW6lOCTyQPDeJoAAoAAAA2AHhN8iqiKiKFVRgADAAm4VVRQqKFV"
        "RgADAAidnqdiIiIiIiIiIiIiIiIif//Zv2KTlA=="
    ),
    "lossless.webp": (
        "eNoBeACH/1JJRkZwAAAAV0VCUFZQOExjAAAALyvACAAXIBBIQHNeaQ2BQIKS5vYLBBL9hOZ7/uNPCrCJbKvOnVc+"
        "Famfn0QPUijJsckfDET0fwJ0cxop3ktgHSBaGcAa1DGCV6XBgu/9iam8xau0xaa0Ra26VRZJmehJz8j5ACeXMpM="
    ),
    "two-frames.gif": (
        "eNpz93SzME/UYVBhaGRg+P///zQNG7moLQwMDDoMYEKFgYFjNgMjh4zHhgUHmzmEtWJObFh4uF1A2WuOx0alQwxi"
        "6mw3dhgudu5TsKyykdikcmIik+8qm8zCpd7TpOJPvdEoXHa2wyz9kYnmguXn5+llf/rz0njFhQku3et6Ok1WMiy2"
        "nq0W67VxyeXlWtpRpV5TNY+vjtzqpSoV9iZ8nZpx39/IbVoeG1Rtn/FYFq3z2FlmuEjlZpm+8946Zm45nx0bEtsZ"
        "GRkUf7IwMjAwM+hwMLAyyDBIMTQi+4Kjn4Ed6PYCBoYmRi6tGA2BBud2RiW3lBMfHh5sEhIOMskoTHbrZdGNu6Px"
        "Iflwn4poXckMo6VHpukyNrR4Fi45NZOJlWOBZUGS41w58V8qHCEPXeeoThTTzfi87NBSnol8shxbFZ2W25cbqVqa"
        "Lg+bF8seItoV+DJ8tcRpO9vsC0sj5xUsPpZ7q1jvaL+k66Ip3pszHRisAa35ijM="
    ),
    "large.jpg": (
        "eNr7f+P/AwYBLzdPNwZGRgYGRiBk+H+bwZlhQV5FT0XKgp6mni2rFuz78P//hzt3gCTxAGgI46otWz5cIkkXGjjA"
        "IMjBxMCkwMyoxMAkyMgsyPj/CIME0KmMINciACMzEwtQRkMAKMzEyMzMwsQMlWdkEmRWNAxUciwUTpy4UCjIyClp"
        "I1ClGLoJIJVAcUlBRnTDGQWZDIX+32LgARoJNEyQwZ7hBsOwB+zy4bK//+yeFrnTgTSNjEbnku9tOm09/RZ3r9GT"
        "GV/eR6ZOPb23iLvpdOHbALYdn85/e3HxWWlfuNwVnzyL45Pipi/9ay1AtOnbY28+Pf22/4lUtCHQ4JP5P77M3y52"
        "uzyLNwEi/1rmne3qCdKP55x+G2tz7uO5x9+bkhMNz6XeWtFA2HDmOZtn/PnB7mf0ZPL2qPM67+L5XI+e1p76qkED"
        "oYbX8Mnmpa/tcw5UGZ5KvbX6zGW56H93XY4t1Dm9lQWv4dwpsxeoRfqkve7ZWbvxz+bttUePVxZFXyqZvy1BA12t"
        "zrbYU5fl4t/+TGG+rLO5oPLpjm9rC59OXxbLcjyBA6fr++I/znU4PcnvbmR00fsAqQPYlYGC/uoym0nfX0Y09nsc"
        "lnlnLycFCi6X4w7YjVYrrgjVj1xQ2bpXb0IGTu/JPj5Z+PvYjudGb+MKDF9KJp9Mr1sLCqGeR1gD/rDlmtfT5lxe"
        "s+YYnnhhnR47ge1PZczS28ttiiPcnRWwqHk8rar8YffFKffMbB4HwAQDrogYmiksbDsiYnCjqU1aIMSwDEkL34bZ"
        "55grTVU+MJzAYiC/7axtFVUSn87Hn9h4gAniOq6ujVYMmRC21+YrjNPgYcs2J7gy/7DZHeOlC2MbjLDFil3mrS3F"
        "p23lGSUYTCBCWlpHXjAug2QWrfMBbNFwxXI9aht61KOXL/BiwOZX1tnTKhkq2yN9U5MnLoDoDwxTd+A1ALM5w6oa"
        "jOAlE/M6yz2Py2KM1651WcCENXSNns5b+zPt+qySqROuQERERZNKGC5D2FPTVzDrwuPG7NG8/umZPdeMNE4w4Eok"
        "4XNfVr73XpjEoIE3yCLNU9xrgiv/MCew4ShZEk+azs07Pat0SsQZRrCSkNDOC8w+YDmm0HkLeLbB/BgneW9T/nHT"
        "Fq4XjBOwmyVTdPbxfr7Lmnty2OcwLsDryS8nVy6T8H0u3emAMyNXvrm6URaYMk434jWK2U/z1dbVfZovt5/eqMGA"
        "K4Hz/FyedXK/yj15HrYF+EIs0ryE98OsQxo8OHMKY9rTeXHpS9uKIyN0ihiAhjEt8IpcpbBrvpZC5qdFbFBqEoMS"
        "xAS+Hc8+90UVnNvWmsVwAmfm49mZvrouasezuapihgwBWBRIF/q7nxZfLLkmhWsBbrcxzDz7MIR9RvSll2xY1DAW"
        "zj7lvrBf5F49bwuOZAoBBk9mndtZpWesvVvmnk7dh9gk0z3Bt67sCb91sHTGu49PbUJ2pNo2ntgWeS8C3ZbrbSVb"
        "F8+zXKO8cBbBCkDM+14Oo57E/Yzp/fJ8DYUVy7eu/LL/9ZcL4pG1OvtOfvn08T9Db8P1+T+e/s1/KDfB9Jlc/+P+"
        "r/NbflX84E0w+xXx9/LL+usvYlNMgO46sqeygrfACuisVZHplQscGNgjfJ8z7pk1iyGFtPqUW/W9qneb+U2H4oqP"
        "+xL7hKV3vBjOzY7/NwHYLn2S"
    ),
    "deep.png": (
        "eNrrDPBz5+WS4mJgYOD19HAJAtICQMwDIhjkZPbJAakOTxfHkIpbtf27eQ8b8LiUiixVYmJJbzNpdDvBIHdIOZXr"
        "/CPHoHssq4KWJvCcdFPa0/bd4QPzcz0f9arFeQeZmtYd7rF0dXN1ncoTdXViYKjZwq+n1XLesCX+3f63ulm/Livj"
        "45vN80PiT7U9N9QurP0jt9eatzghYY7yYc5iofvJBbv7xVQW2bj7q9UxCB6Zu9jS4e4CkNs8Xf1c1jklNAEApjZG"
        "3w=="
    ),
}


@pytest.mark.parametrize(
    ("name", "gray", "color"),
    [
        ("gray.png", "227fa21770595e12", "c08fe5a8416a07d7"),
        ("palette-alpha.png", "f3fd0feea273e8b9", "991713331eba7323"),
        ("turned.jpg", "c654a078e639d0e9", "80754d2ea1b31b6c"),
        ("cmyk.jpg", "2d223cab081de1b3", "24e3bfab3feec3eb"),
        ("lossless.webp", "227fa21770595e12", "e26f53444ad2fcad"),
        ("two-frames.gif", "227fa21770595e12", "e26f53444ad2fcad"),
        ("large.jpg", "a186331a9617eebb", "37646a3050e69a44"),
        ("deep.png", "4318650dff180256", "7a82437f599c5195"),
    ],
)
def test_files_give_the_same_bits_on_every_machine(name: str, gray: str, color: str) -> None:
    """Each kind of file is decoded, turned, blended and resized to the same pixels."""
    file = zlib.decompress(base64.b64decode(ENCODED_FILES[name]))
    stretched = replace(RGB, resize="stretch")
    for spec, expected in ((GRAY, gray), (stretched, color)):
        pixels = to_pixels(file, spec)
        assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == expected


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("spec", [AS_IS, RGB])
def test_averaging_down_first_changes_little(form: str, spec: InputSpec) -> None:
    """Reducing a noisy image of 1.9 megapixels first changes no pixel by more than 1."""
    chance = np.random.default_rng(0)
    coarse = Image.fromarray(chance.integers(0, 255, (40, 50, 3), np.uint8))
    grain = Image.fromarray(chance.integers(0, 255, (1200, 1600, 3), np.uint8))
    grainy = Image.blend(coarse.resize(grain.size, Image.Resampling.BICUBIC), grain, 0.3)
    file = encoded(grainy, form, **({"quality": 95} if form == "JPEG" else {}))
    whole = Image.open(io.BytesIO(file)).convert("L" if spec.channels == 1 else "RGB")
    at_once = whole.resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    spec = replace(spec, resize="stretch")
    difference = to_pixels(file, spec) - np.asarray(at_once, np.int64).reshape(spec.shape)
    assert abs(difference).max() <= 1
    assert abs(difference).mean() < 0.2


@pytest.mark.parametrize("kind", ["array", "array with a channel", "image", "file", "path", "str"])
@pytest.mark.parametrize("background", ["dark", "light"])
def test_images_of_the_input_size_are_not_changed(
    kind: str, background: str, boot: Image.Image, tmp_path: Path
) -> None:
    """A 28x28 gray image keeps every pixel, in whatever form it is given."""
    image = boot if background == "dark" else ImageOps.invert(boot)
    path = tmp_path / "image.png"
    image.save(path)
    given_as = {
        "array": np.asarray(image),
        "array with a channel": gray(image),
        "image": image,
        "file": path.read_bytes(),
        "path": path,
        "str": str(path),
    }
    assert np.array_equal(to_pixels(given_as[kind], GRAY), gray(image))


@pytest.mark.parametrize("mode", ["P", "RGB", "CMYK", "RGBA", "LA", "F", "I;16"])
def test_color_modes(mode: str, boot: Image.Image) -> None:
    """A gray image gives the same pixels in every mode that files have."""
    if mode == "I;16":
        image = Image.fromarray(np.asarray(boot).astype(np.uint16) * 257)
    else:
        image = boot.convert(mode)
    assert image.mode == mode
    given_as = image if mode == "F" else encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    assert np.array_equal(to_pixels(given_as, GRAY), gray(boot))


def test_lab_images(boot: Image.Image) -> None:
    """A TIFF file in CIELAB is read; Pillow cannot convert it to gray directly."""
    lightness = np.asarray(boot)
    neutral = np.zeros((28, 28), np.uint8)
    image = Image.merge("LAB", [Image.fromarray(x) for x in (lightness, neutral, neutral)])
    pixels = to_pixels(encoded(image, "TIFF"), GRAY)
    # lightness is not gray, but grows with it
    assert np.corrcoef(pixels.ravel(), lightness.ravel())[0, 1] > 0.98


def test_one_bit_images(boot: Image.Image) -> None:
    """A black and white image has the pixels 0 and 255."""
    image = boot.convert("1")
    expected = np.where(np.asarray(image), 255, 0)[:, :, np.newaxis]
    assert np.array_equal(to_pixels(encoded(image), GRAY), expected)


def test_16_bit_images_keep_the_upper_byte(boot: Image.Image) -> None:
    """Of a 16-bit gray image, the upper byte of each pixel is kept."""
    deep = np.asarray(boot).astype(np.uint16) << 8 | 0x7F
    assert np.array_equal(to_pixels(encoded(Image.fromarray(deep)), GRAY), gray(boot))


@pytest.mark.parametrize("form", ["RGBA", "LA", "palette", "GIF", "color key"])
def test_transparency_is_blended_onto_white(form: str, boot: Image.Image) -> None:
    """Transparent pixels become white, however a file marks them."""
    clear = np.zeros((28, 28), bool)
    clear[3:9, 5:20] = True
    expected = np.where(clear, 255, np.asarray(boot))
    if form in {"RGBA", "LA"}:
        image = boot.convert(form)
        image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
        file = encoded(image)
    else:
        # 77 is the transparent value, which no other pixel has
        marked = Image.fromarray(np.where(clear, 77, np.where(expected == 77, 78, boot)))
        expected[(np.asarray(boot) == 77) & ~clear] = 78
        marked = marked.convert("L" if form == "color key" else "P")
        file = encoded(marked, "GIF" if form == "GIF" else "PNG", transparency=77)
    assert np.array_equal(to_pixels(file, GRAY)[:, :, 0], expected)


def test_transparent_background_is_inverted(boot: Image.Image) -> None:
    """A dark object on transparency is blended onto white, and so inverted."""
    pixels = to_pixels(encoded(cut_out(boot)), GRAY)
    assert np.array_equal(pixels, to_pixels(enlarged(boot), GRAY))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(orientation: int, form: str, boot: Image.Image) -> None:
    """An image that was stored turned or mirrored gives the pixels of the upright one."""
    upright = boot.resize((84, 56))
    stored = upright
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if orientation in back:
        stored = upright.transpose(back[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(stored, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    assert np.array_equal(to_pixels(file, GRAY), to_pixels(upright, GRAY))


def test_images_of_the_input_size_are_turned_too(boot: Image.Image) -> None:
    """An image of 28x28 is turned upright too, and otherwise not changed."""
    exif = Image.Exif()
    exif[0x0112] = 3
    file = encoded(boot.transpose(Image.Transpose.ROTATE_180), exif=exif)
    assert np.array_equal(to_pixels(file, GRAY), gray(boot))


def test_first_frame_of_a_gif(boot: Image.Image) -> None:
    """The first frame of an animated GIF is taken."""
    frames = [boot.convert("P"), ImageOps.invert(boot).convert("P")]
    file = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(file)).n_frames == 2
    assert np.array_equal(to_pixels(file, GRAY), gray(boot))


def test_light_background_is_inverted(boot: Image.Image) -> None:
    """A dark object on a light background gives the pixels of its inverse."""
    light = ImageOps.invert(enlarged(boot))
    assert np.array_equal(to_pixels(light, GRAY), to_pixels(enlarged(boot), GRAY))


def test_polarity_any_inverts_nothing(boot: Image.Image) -> None:
    """With polarity ``any`` a light background stays light."""
    pixels = to_pixels(on_white(boot), AS_IS)
    assert np.all(pixels[0] == 255)
    assert np.all(pixels[-1] == 255)


def test_fit_keeps_the_aspect_ratio(boot: Image.Image) -> None:
    """An image twice as wide as high fills 14 of 28 rows; the others have its border's color."""
    wide = boot.resize((112, 56))
    pixels = to_pixels(wide, AS_IS)[:, :, 0]
    assert np.array_equal(pixels[7:21], wide.resize((28, 14), Image.Resampling.BILINEAR))
    assert not pixels[:7].any()
    assert not pixels[21:].any()


def test_stretch_fills_the_input(boot: Image.Image) -> None:
    """With ``stretch`` the same image fills all rows."""
    wide = boot.resize((112, 56))
    pixels = to_pixels(wide, replace(AS_IS, resize="stretch"))[:, :, 0]
    assert np.array_equal(pixels, wide.resize((28, 28), Image.Resampling.BILINEAR))


def test_channels_are_red_green_blue(boot: Image.Image) -> None:
    """Three channels are red, green and blue, in whatever form the image is given."""
    image = colored(boot)
    pixels = to_pixels(image, RGB)
    assert pixels.shape == (24, 32, 3)
    assert pixels[:, :, 0].max() > 200
    assert not pixels[:, :, 1].any()
    assert np.all(pixels[0, 0] == (0, 0, 255))
    assert np.array_equal(to_pixels(np.asarray(image), RGB), pixels)
    assert np.array_equal(to_pixels(encoded(image, "BMP"), RGB), pixels)


def test_gray_image_for_an_rgb_model(boot: Image.Image) -> None:
    """A gray image has three equal channels."""
    pixels = to_pixels(enlarged(boot), RGB)
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 1])
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2])
    assert pixels.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (1, 20_000), (20_000, 1)])
@pytest.mark.parametrize("spec", [GRAY, RGB])
def test_thin_images(size: tuple[int, int], spec: InputSpec) -> None:
    """An image one pixel wide or high gives pixels of its own value."""
    pixels = to_pixels(Image.new("L", size, 90), spec)
    assert pixels.shape == spec.shape
    assert np.all(pixels == 90)


LITTLE_MEMORY = """
import resource, sys
from PIL import Image
from fmx_runtime.model_file.metadata import InputSpec
from fmx_runtime.images.preprocess import to_pixels
spec = InputSpec(height=28, width=28, channels=1, scale=1.0, offset=0.0, resize="fit",
                 polarity="any")
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
line = Image.new("L", (60000, 1), 10)
line.paste(200, (20000, 0, 40000, 1))
rows = to_pixels(line, spec)[:, :, 0]
bright = [row for row in rows.tolist() if max(row) > 10]
print(len(bright), bright[0][0], bright[0][14])
"""


def test_very_wide_image_needs_little_memory() -> None:
    """An image of 60,000x1 pixels is preprocessed in less than 1 GiB."""
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=False
    )
    assert done.stdout == "1 10 200\n", done.stderr


def broken_files(boot: Image.Image) -> dict[str, bytes]:
    """Return files that are no images, or damaged ones."""
    large = boot.resize((200, 200))
    garbled = bytearray(encoded(large))
    garbled[60:90] = bytes(30)
    return {
        "empty.png": b"",
        "text.png": b"no image\n",
        "zeros.jpg": bytes(1000),
        "archive.png": b"PK\x03\x04" + bytes(100),
        "short.png": encoded(large)[:200],
        "short.jpg": encoded(large, "JPEG")[:900],
        "short.gif": encoded(large.convert("P"), "GIF")[:200],
        "short.webp": encoded(large, "WEBP")[:200],
        "short.bmp": encoded(large, "BMP")[:2000],
        "short.tif": encoded(large, "TIFF")[:900],
        "garbled.png": bytes(garbled),
        "bomb.png": encoded(Image.new("1", (15_000, 15_000))),
    }


@pytest.mark.parametrize(
    "name",
    [
        "empty.png",
        "text.png",
        "zeros.jpg",
        "archive.png",
        "short.png",
        "short.jpg",
        "short.gif",
        "short.webp",
        "short.bmp",
        "short.tif",
        "garbled.png",
        "bomb.png",
    ],
)
def test_damaged_files(name: str, boot: Image.Image, tmp_path: Path) -> None:
    """A damaged file, or one that is no image, is refused with one line that names it."""
    path = tmp_path / name
    path.write_bytes(broken_files(boot)[name])
    with pytest.raises(ImageError, match=name) as caught:
        to_pixels(path, GRAY)
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match="the image"):
        to_pixels(path.read_bytes(), GRAY)


def test_missing_files(tmp_path: Path) -> None:
    """A missing file, a folder and an impossible name have different messages."""
    with pytest.raises(ImageError, match=r"gone\.png' does not exist"):
        to_pixels(tmp_path / "gone.png", GRAY)
    with pytest.raises(ImageError, match=f"'{tmp_path}' is a folder, not an image"):
        to_pixels(tmp_path, GRAY)
    with pytest.raises(ImageError, match="name too long"):
        to_pixels("a" * 5000, GRAY)


def test_unreadable_files(
    boot: Image.Image, tmp_path: Path, unprivileged_user: AbstractContextManager[None]
) -> None:
    """A file without read permission is refused, and the message says so."""
    path = tmp_path / "secret.png"
    boot.save(path)
    path.chmod(0)
    with (
        unprivileged_user,
        pytest.raises(ImageError, match=r"secret\.png' cannot be read \(permission denied\)"),
    ):
        to_pixels(path, GRAY)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((28, 28), np.float32),
        np.zeros((28, 28), np.int64),
        np.zeros((28, 28), bool),
        np.zeros((28, 28, 4), np.uint8),
        np.zeros((1, 28, 28, 1), np.uint8),
        np.zeros((28,), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((0, 28), np.uint8),
        np.zeros((28, 0, 3), np.uint8),
    ],
)
def test_arrays_of_a_wrong_shape_or_dtype(array: NDArray[np.generic]) -> None:
    """An array of another dtype or shape is refused, and the message names both."""
    with pytest.raises(ImageError, match="received") as caught:
        to_pixels(array, GRAY)  # type: ignore[arg-type]
    assert str(array.dtype) in str(caught.value)
    assert str(array.shape) in str(caught.value)


def test_images_without_pixels() -> None:
    """A Pillow image without pixels is refused."""
    with pytest.raises(ImageError, match="the image has no pixels"):
        to_pixels(Image.new("L", (0, 5)), GRAY)


def specs() -> st.SearchStrategy[InputSpec]:
    """Return small model inputs of all kinds."""
    return st.builds(
        InputSpec,
        height=st.integers(1, 40),
        width=st.integers(1, 40),
        channels=st.sampled_from([1, 3]),
        dtype=st.sampled_from(["float32", "uint8"]),
        scale=st.floats(-2, 2),
        offset=st.floats(-300, 300),
        resize=st.sampled_from(["fit", "stretch"]),
        polarity=st.sampled_from(["light-on-dark", "any"]),
        subject=st.sampled_from(["whole", "garment"]),
    )


sides = st.integers(1, 80)
shapes = st.tuples(sides, sides) | st.tuples(sides, sides, st.sampled_from([1, 3]))


@given(npst.arrays(np.uint8, shapes), specs())
def test_arrays_of_any_size(array: NDArray[np.uint8], spec: InputSpec) -> None:
    """Arrays of any size from 1 to 80 give pixels of the input's shape and dtype."""
    before = array.copy()
    pixels = to_pixels(array, spec)
    assert pixels.shape == spec.shape
    assert pixels.dtype == np.uint8
    assert np.array_equal(array, before)
    if spec.subject == "whole":
        assert pixels.min() >= min(array.min(), 255 - array.max())
        assert pixels.max() <= max(array.max(), 255 - array.min())


@given(npst.arrays(np.uint8, st.tuples(sides, sides)), st.sampled_from(["F", "T", "view"]))
def test_memory_layout_does_not_matter(array: NDArray[np.uint8], layout: str) -> None:
    """Equal arrays give equal pixels, whatever their memory layout."""
    twice = np.repeat(np.repeat(array, 2, 0), 2, 1)
    other = {"F": np.asfortranarray(array), "T": array.T.copy().T, "view": twice[::2, ::2]}[layout]
    assert np.array_equal(to_pixels(other, GRAY), to_pixels(array, GRAY))


@given(st.binary(max_size=2000))
@example(b"\x89PNG\r\n\x1a\n")
@example(b"GIF89a\x01\x00\x01\x00")
@example(b"\xff\xd8\xff\xe0")
@example(b"II*\x00\x08\x00\x00\x00")
def test_arbitrary_bytes(content: bytes) -> None:
    """Arbitrary bytes give pixels or an ImageError, nothing else."""
    try:
        assert to_pixels(content, GRAY).shape == GRAY.shape
    except ImageError as error:
        assert "\n" not in str(error)  # noqa: PT017


@settings(max_examples=300)
@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.none() | st.floats(0, 1),
)
def test_damaged_images(
    boot: Image.Image, form: str, changes: list[tuple[float, int]], end: float | None
) -> None:
    """A real file with bytes changed or cut off gives pixels or an ImageError, nothing else."""
    content = bytearray(encoded(boot.resize((45, 60)), form))
    for place, value in changes:
        content[int(place**2 * (len(content) - 1))] = value
    if end is not None:
        del content[int(end * len(content)) :]
    try:
        assert to_pixels(bytes(content), GRAY).shape == GRAY.shape
    except ImageError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(npst.arrays(np.uint8, npst.array_shapes(max_dims=4, max_side=6)), specs())
def test_tensors(pixels: NDArray[np.uint8], spec: InputSpec) -> None:
    """A uint8 input takes the pixels, a float input ``pixel * scale + offset``."""
    tensor = to_tensor(pixels, spec)
    if spec.dtype == "uint8":
        assert tensor is pixels
        return
    assert tensor.dtype == np.float32
    assert tensor.shape == pixels.shape
    exact = pixels.astype(np.float64) * spec.scale + spec.offset
    assert np.array_equal(tensor, exact.astype(np.float32))


GARMENTS = replace(GRAY, subject="garment")


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Return a photo of light blue trousers in front of a brown wall."""
    chance = np.random.default_rng(0)
    wall = np.array([120, 80, 50]) + chance.integers(-25, 26, (200, 150, 1))
    wall[30:170, 55:95] = np.array([150, 180, 230]) + chance.integers(-10, 11, (140, 40, 1))
    return Image.fromarray(wall.astype(np.uint8))


def test_garment_in_a_photo_is_segmented(photo: Image.Image) -> None:
    """A model of garments sees the garment alone, in the middle of a black background."""
    pixels = to_pixels(photo, GARMENTS)[:, :, 0]
    assert pixels.shape == (28, 28)
    assert not pixels[:, :6].any()
    assert not pixels[:, -6:].any()
    assert np.all(pixels[1:-1, 12:16] >= 40)
    assert np.array_equal(to_pixels(encoded(photo), GARMENTS)[:, :, 0], pixels)
    colors = to_pixels(photo, replace(GARMENTS, channels=3))
    assert not colors[:, :6].any()
    assert colors[14, 14, 0] > colors[14, 14, 2]  # negated: blue is yellow


def test_segmentation_can_be_forced(boot: Image.Image, photo: Image.Image) -> None:
    """``segment_garment`` overrides whether an image looks like a photo."""
    whole = to_pixels(photo, GRAY)
    assert np.array_equal(to_pixels(photo, GARMENTS, segment_garment=False), whole)
    assert not np.array_equal(to_pixels(photo, GARMENTS), whole)
    light = on_white(boot)
    assert np.array_equal(to_pixels(light, GARMENTS), to_pixels(light, GRAY))
    assert not np.array_equal(
        to_pixels(light, GARMENTS, segment_garment=True), to_pixels(light, GRAY)
    )


@pytest.mark.parametrize("segment", [None, True, False])
def test_other_models_see_whole_images(segment: bool | None, photo: Image.Image) -> None:
    """Models of anything but garments see whole images."""
    assert np.array_equal(to_pixels(photo, GRAY, segment_garment=segment), to_pixels(photo, GRAY))


def test_dataset_images_are_not_segmented(boot: Image.Image) -> None:
    """Fashion-MNIST images, enlarged or not, are not segmented."""
    for image in (boot, enlarged(boot), ImageOps.invert(enlarged(boot))):
        assert np.array_equal(to_pixels(image, GARMENTS), to_pixels(image, GRAY))
