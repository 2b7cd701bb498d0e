"""Takes a frame of a written page for a document: `python tests/take_frame.py PAGE.html PICTURE.png`."""

import argparse
import tempfile
from pathlib import Path

from browser import browsing, screenshot
from PIL import Image

COLORS = 160  # a page has few; the file becomes a third as large


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("frame", type=Path)
    parser.add_argument("--width", type=int, default=1100, help="of the screen in CSS pixels")
    parser.add_argument("--height", type=int, default=0, help="of the frame; 0: the whole page")
    parser.add_argument(
        "--part", default="", help="beginning of the heading that stands at the top; else the page's top"
    )
    parser.add_argument("--scheme", default="light", choices=("light", "dark"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, browsing(Path(profile)) as browser:
        size = {"width": args.width, "height": args.height, "part": args.part}
        screenshot(browser, args.page, args.frame, scheme=args.scheme, **size)
    Image.open(args.frame).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(args.frame, optimize=True)


if __name__ == "__main__":
    main()
