"""Takes a screenshot of a page for a document: `python tests/take_screenshot.py PAGE.html IMAGE.png`."""

import argparse
import tempfile
from pathlib import Path

from browser import browsing, screenshot
from PIL import Image

COLORS = 160  # a page has few colors; the file becomes a third as large


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--width", type=int, default=1100, help="width of the screen in CSS pixels")
    parser.add_argument("--height", type=int, default=0, help="height of the image; 0: the whole page")
    parser.add_argument(
        "--part", default="", help="start of the heading at the top of the image; default: the top of the page"
    )
    parser.add_argument("--scheme", default="light", choices=("light", "dark"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, browsing(Path(profile)) as browser:
        size = {"width": args.width, "height": args.height, "part": args.part}
        screenshot(browser, args.page, args.image, scheme=args.scheme, **size)
    Image.open(args.image).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(args.image, optimize=True)


if __name__ == "__main__":
    main()
