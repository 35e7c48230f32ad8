"""The pictures of docs/app.md: the page in a browser, as a designer goes through it.

python scripts/app_screenshots.py --out docs/app
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image

import shoegen.app
from shoegen.data.images import write_image
from shoegen.data.synthetic import render_shoe, sample_parameters
from shoegen.torch_utils.files import atomic_write

WIDTH = 1200  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/app"), help="default: docs/app")
    options = parser.parse_args()

    from playwright.sync_api import sync_playwright

    with (
        shoegen.app.serve(port=0) as address,
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
    ):
        photo = Path(folder) / "pump.png"
        write_image(photo, render_shoe(sample_parameters(5, 4), 256).image)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.set_default_timeout(180_000)
        page.goto(address)
        page.wait_for_selector("#wall img")

        page.click("#wall button[data-index='7']")
        page.wait_for_selector("#shoes-slider-heel input:enabled")
        set_slider(page, "heel", 95)
        page.get_by_label("Before | after", exact=True).first.check()
        page.wait_for_selector("#shoes-stage figcaption")
        save(page, options.out / "shoes.jpg")

        set_slider(page, "heel", 182, waits="#shoes-refusal-heel .refusal")
        page.get_by_label("Parts", exact=True).first.check()
        page.wait_for_selector("#shoes-stage .legend")
        save(page, options.out / "refused.jpg")

        page.get_by_role("tab", name="Photograph").click()
        page.locator("#photo-file input").set_input_files(photo)
        page.wait_for_selector("#photo-cut figcaption:text('cut out')")
        page.click("#photo-find")
        page.wait_for_selector("#photograph-stage img")
        page.get_by_label("In the photograph").check()
        set_slider(page, "heel", 40, "photograph")
        page.wait_for_selector("#photograph-stage img[alt='the shoe in the photograph']")
        save(page, options.out / "photograph.jpg")

        page.get_by_role("tab", name="Paint").click()
        page.click("#examples button[data-index='3']")
        page.wait_for_selector("#painted img")
        page.click("#styles button[data-index='1']")
        page.wait_for_selector("#styles button.chosen[data-index='1']")
        save(page, options.out / "paint.jpg")

        page.get_by_role("tab", name="Swap").click()
        page.click("#swap-example")
        page.wait_for_selector("#swapped img")
        save(page, options.out / "swap.jpg")
        browser.close()


def set_slider(page: object, name: str, value: int, bench: str = "shoes", *, waits: str = "") -> None:
    """Types a value beside a slider, and waits for what follows."""
    box = page.locator(f"#{bench}-slider-{name} input[type=number]")  # type: ignore[attr-defined]
    box.fill(str(value))
    box.press("Enter")
    if waits:
        page.wait_for_selector(waits)  # type: ignore[attr-defined]
        return
    page.wait_for_selector(f"#{bench}-reading-{name} span")  # type: ignore[attr-defined]
    page.wait_for_function(f"() => !document.querySelector('#{bench}-story i')")  # type: ignore[attr-defined]


def save(page: object, path: Path) -> None:
    page.mouse.move(5, 5)  # type: ignore[attr-defined]
    page.wait_for_timeout(1000)  # type: ignore[attr-defined]
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))  # type: ignore[attr-defined]
    with atomic_write(path) as file:
        picture.convert("RGB").save(file, "JPEG", quality=85)
    print(path)


if __name__ == "__main__":
    main()
