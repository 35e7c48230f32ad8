"""The page in a browser: what a designer does, and what is refused."""

import io
import json
import time

import numpy as np
import pytest
from PIL import Image

import shoegen
from shoegen.data.images import read_image, read_part_map, write_image
from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import render_shoe, sample_parameters

from .conftest import open_page, serving


def pick(page, index=7):
    page.click(f"#wall button[data-index='{index}']")
    page.wait_for_selector("#shoes-slider-heel input[type=range]:enabled")
    wait(page, f"document.querySelector('#shoes-story').innerText.includes('seed {index}')")


def wait(page, condition):
    page.wait_for_function(f"() => {condition}")


def story(page):
    """What was done to the shoe; a clock stands above it while the rest is being held."""
    return page.inner_text("#shoes-story").strip().splitlines()[-1]


def reading(page, bench="shoes"):
    """Millimetres that stand beside the heel's slider."""
    return float(page.inner_text(f"#{bench}-reading-heel b.now").removesuffix(" mm"))


def source(page, place="#shoes-stage img"):
    return page.get_attribute(place, "src")


def drag(page, pixels, bench="shoes"):
    """Drags the heel's slider to the right with the mouse, and waits until the picture has followed."""
    slider, before = (
        page.locator(f"#{bench}-slider-heel input[type=range]"),
        source(page, f"#{bench}-stage img"),
    )
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    low, high = (float(slider.get_attribute(name)) for name in ("min", "max"))
    share = (float(slider.input_value()) - low) / (high - low)
    x, y = box["x"] + 8 + share * (box["width"] - 16), box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels, y, steps=4)
    page.mouse.up()
    wait(page, f"document.querySelector('#{bench}-stage img').src !== {json.dumps(before)}")
    # The last of several steps has been measured, is what the slider asks for, and the rest is held.
    wait(page, f"!document.querySelector('#{bench}-story i')")
    asked = f"document.querySelector('#{bench}-slider-heel input[type=range]').value"
    wait(
        page,
        f"Math.abs(parseFloat(document.querySelector('#{bench}-reading-heel b').innerText) - {asked}) <= 3",
    )


def opened(page):
    """Gradio sets the values of what was opened once more, some 100 ms later: no hand has typed anything by then."""
    page.wait_for_timeout(500)


def open_more(page):
    page.get_by_role("button", name="More", exact=False).filter(has_text="▼").first.click()
    opened(page)


def open_tab(page, name):
    page.get_by_role("tab", name=name).click()
    opened(page)


def set_slider(page, value, bench="shoes", name="heel"):
    box = page.locator(f"#{bench}-slider-{name} input[type=number]")
    box.fill(str(value))
    box.press("Enter")


def download(page, button):
    with page.expect_download() as found:
        page.click(button)
    return found.value.path().read_bytes(), found.value.suggested_filename


def test_a_slider_moves_the_shoe_and_undo_brings_it_back(page):
    pick(page)
    before, picture = reading(page), source(page)
    assert before == pytest.approx(265 * shoegen.load().sample(7).measures["heel_height"], abs=1)
    drag(page, 40)
    after = reading(page)
    assert after > before + 5
    told = page.inner_text("#shoes-reading-heel")
    assert f"+{after - before:.0f} mm" in told
    assert f"was {before:.0f} mm" in told
    assert "σ" in told
    slider = page.locator("#shoes-slider-heel input[type=range]")
    assert float(slider.input_value()) == pytest.approx(after, abs=3)  # asked for, and measured

    page.click("#shoes-undo")
    wait(page, f"document.querySelector('#shoes-stage img').src === {json.dumps(picture)}")
    assert reading(page) == before
    assert float(slider.input_value()) == round(before)
    page.click("#shoes-redo")
    wait(page, f"document.querySelector('#shoes-stage img').src !== {json.dumps(picture)}")
    assert reading(page) == after

    # In standard deviations, the slider of the same shoe stands elsewhere.
    page.get_by_label("Strength (σ)").first.check()
    wait(page, "document.querySelector('#shoes-slider-heel input[type=range]').max === '4'")
    assert 0 < float(slider.input_value()) < 3
    assert reading(page) == after
    page.click("#shoes-reset")
    wait(page, f"document.querySelector('#shoes-stage img').src === {json.dumps(picture)}")
    assert float(slider.input_value()) == 0


def test_out_of_reach_is_said_beside_the_slider_and_the_shoe_stays(page):
    pick(page)
    drag(page, 20)
    picture, there = source(page), reading(page)
    set_slider(page, 182)
    page.wait_for_selector("#shoes-refusal-heel .refusal")
    told = page.inner_text("#shoes-refusal-heel")
    assert "182.0 mm is out of reach" in told
    assert "it can be brought from" in told
    assert "--" not in told
    assert (source(page), reading(page)) == (picture, there)
    wait(page, f"document.querySelector('#shoes-slider-heel input[type=range]').value === '{there:.0f}'")
    page.click("#shoes-undo")
    wait(page, "!document.querySelector('#shoes-refusal-heel .refusal')")

    open_more(page)
    length = page.locator("#shoes-length input, #shoes-length textarea").first
    length.fill("a foot")
    length.press("Enter")
    page.wait_for_selector("#shoes-says .refusal")
    assert "expected millimetres between 0 and 1000" in page.inner_text("#shoes-says")
    before = reading(page)
    length.fill("530 mm")
    length.press("Enter")
    wait(page, "!document.querySelector('#shoes-says .refusal')")
    assert reading(page) == pytest.approx(2 * before, abs=2)


def test_numbers_that_no_slider_has(page):
    """In the field beside it: too large, too small, none."""
    pick(page)
    picture, there = source(page), reading(page)
    for wrong in ("99999", "-50"):
        set_slider(page, wrong)
        page.wait_for_selector("#shoes-refusal-heel .refusal")
        assert "out of reach" in page.inner_text("#shoes-refusal-heel")
        wait(
            page,
            f"document.querySelector('#shoes-slider-heel input[type=number]').value === '{there:.0f}'",
        )
        assert (source(page), reading(page)) == (picture, there)
        pick(page)
        wait(page, "!document.querySelector('#shoes-refusal-heel .refusal')")
    assert page.locator(".toast-wrap .error, [data-testid=toast-body]").count() == 0


def test_a_refusal_stays_while_another_sliders_rest_is_held(page):
    pick(page, 1)
    set_slider(page, 85)
    wait(page, "document.querySelector('#shoes-story i')")
    set_slider(page, 200, name="lightness")
    page.wait_for_selector("#shoes-refusal-lightness .refusal")
    wait(page, "!document.querySelector('#shoes-story i')")
    assert "out of reach" in page.inner_text("#shoes-refusal-lightness")


def test_a_target_that_is_missed_is_said_beside_its_slider(page):
    """On this shoe what is measured jumps over it."""
    sample = shoegen.load().sample(6)
    assert 265 * sample.edit(heel="95mm").measures["heel_height"] > 98
    pick(page, 6)
    set_slider(page, 95)
    page.wait_for_selector("#shoes-refusal-heel .remark")
    wait(page, "!document.querySelector('#shoes-story i')")
    assert "Heel to 95mm was not met" in page.inner_text("#shoes-refusal-heel")
    page.click("#shoes-undo")
    wait(page, "!document.querySelector('#shoes-refusal-heel .remark')")


def test_the_wall_marks_what_is_on_the_bench(page):
    pick(page, 1)
    pick(page, 2)
    page.click("#shoes-undo")
    page.wait_for_selector("#wall button[data-index='1'].chosen")
    page.click("#shoes-redo")
    page.wait_for_selector("#wall button[data-index='2'].chosen")


def test_the_scale_is_changed_while_the_rest_is_held(page):
    pick(page)
    page.get_by_label("Strength (σ)").first.check()
    wait(page, "document.querySelector('#shoes-slider-heel input[type=range]').max === '4'")
    set_slider(page, 1)
    wait(page, "document.querySelector('#shoes-story i')")
    page.get_by_label("Measured (mm)").first.check()
    wait(page, "!document.querySelector('#shoes-story i')")
    wait(page, "+document.querySelector('#shoes-slider-heel input[type=range]').max > 100")
    slider = page.locator("#shoes-slider-heel input[type=range]")
    assert float(slider.input_value()) == pytest.approx(reading(page), abs=1)


def test_what_was_under_way_is_there_after_a_reload(page, photo):
    """The rest of a shoe that is being held, a search, and how the page was set."""
    pick(page)
    open_more(page)
    page.locator("#shoes-hold input").first.uncheck()
    page.wait_for_timeout(500)
    page.reload()
    page.wait_for_selector("#shoes-stage img")
    open_more(page)
    assert not page.locator("#shoes-hold input").first.is_checked()
    page.locator("#shoes-hold input").first.check()
    page.wait_for_timeout(500)
    set_slider(page, 75)
    wait(page, "document.querySelector('#shoes-story i')")
    page.reload()
    page.wait_for_selector("#shoes-stage img")
    wait(page, "!document.querySelector('#shoes-story i')")
    assert reading(page) == pytest.approx(75, abs=3)

    open_tab(page, "Photograph")
    page.locator("#photo-file input").set_input_files(photo)
    page.wait_for_selector("#photo-cut figcaption:text('pump.png, cut out')")
    page.click("#photo-find")
    page.wait_for_selector("#photo-cut :text('finding the shoe')")
    page.reload()
    open_tab(page, "Photograph")
    page.wait_for_selector("#photo-says .remark:text('still being searched')")
    assert page.is_disabled("#photo-find")
    page.wait_for_selector("#photograph-stage img")
    assert page.inner_text("#photo-says").startswith("Found pump.png")
    assert page.is_enabled("#photo-find")


def test_the_wall_is_leafed_through(page):
    assert page.is_disabled("#wall-back")
    page.click("#wall-more")
    page.wait_for_selector("#wall button[title='seed 12']")
    page.click("#wall-back")
    page.wait_for_selector("#wall button[title='seed 0']")
    assert page.is_disabled("#wall-back")


def test_the_views(page):
    pick(page)
    drag(page, 30)
    for view, place in (
        ("Before | after", "#shoes-stage figure:nth-child(2) img[alt=after]"),
        ("Wipe", "#shoes-stage .wipe input"),
        ("Parts", "#shoes-stage .legend"),
        ("What changed", "#shoes-stage img[alt='what changed']"),
    ):
        page.get_by_label(view, exact=True).first.check()
        page.wait_for_selector(place)
    changed = page.locator("#shoes-stage img[alt='what changed']")
    assert changed.evaluate("each => Math.max(each.naturalWidth, each.naturalHeight)") == 900


# What the server streams comes late, and receipts at once.
LATE = """
const ask = window.fetch.bind(window);
window.fetch = async (input, init) => {
  const response = await ask(input, init);
  if (!String(input.url ?? input).includes('/queue/data')) return response;
  const late = new TransformStream({
    transform: (chunk, to) => new Promise(go => setTimeout(go, 300)).then(() => to.enqueue(chunk)),
  });
  return new Response(response.body.pipeThrough(late), {status: response.status, headers: response.headers});
};
"""


def test_an_event_is_answered_that_is_handed_in_while_the_answers_end(browser, address):
    with browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(LATE)
        open_page(page, address)
        page.set_default_timeout(30_000)
        for view, place in (("Parts", ".legend"), ("Wipe", ".wipe input"), ("Shoe", "img")):
            pick(page)
            page.get_by_label(view, exact=True).first.check()
            page.wait_for_timeout(200)  # the server has answered and closed; the page does not know it
            page.click("#wall button[data-index='3']")
            page.wait_for_selector(f"#shoes-stage {place}")
            wait(page, "document.querySelector('#shoes-story').innerText.trim() === 'seed 3'")


def test_every_click_counts_and_the_last_view_stays(page):
    for index in (1, 2, 3, 4, 5):
        page.click(f"#wall button[data-index='{index}']")
    wait(page, "document.querySelector('#shoes-story').innerText.trim() === 'seed 5'")
    for _ in range(4):
        page.click("#shoes-undo")
    wait(page, "document.querySelector('#shoes-story').innerText.trim() === 'seed 1'")
    for view in ("Parts", "Wipe", "Shoe", "Wipe"):
        page.get_by_label(view, exact=True).first.check()
    page.wait_for_selector("#shoes-stage .wipe input")

    # Also where the rest of a shoe is held meanwhile.
    set_slider(page, 60)
    wait(page, "document.querySelector('#shoes-story i')")
    page.get_by_label("Parts", exact=True).first.check()
    wait(page, "!document.querySelector('#shoes-story i')")
    assert page.is_visible("#shoes-stage .legend")


def test_what_is_exported(page, tmp_path):
    page.click("#shoes-export-png")
    page.wait_for_selector("#shoes-says .refusal")
    assert "pick one first" in page.inner_text("#shoes-says")

    pick(page)
    drag(page, 30)
    content, name = download(page, "#shoes-export-png")
    assert name == "shoe.png"
    picture = read_image(content)

    content, name = download(page, "#shoes-export-latent")
    assert name == "shoe.safetensors"
    (tmp_path / name).write_bytes(content)
    shoe = shoegen.load_shoe(tmp_path / name)
    assert np.array_equal(shoe.image, picture)
    assert shoe.history[-1].direction == "heel"

    # It can be taken up again; something else cannot.
    there = reading(page)
    pick(page, 2)
    page.locator("#shoes-file input").set_input_files(tmp_path / "shoe.safetensors")
    wait(page, "document.querySelector('#shoes-story').innerText.startsWith('seed 7, heel')")
    assert reading(page) == there
    (tmp_path / "other.safetensors").write_bytes(content[:200])
    page.locator("#shoes-file input").set_input_files(tmp_path / "other.safetensors")
    page.wait_for_selector("#wall-says .refusal")
    assert page.inner_text("#wall-says").startswith("other.safetensors: not a readable safetensors file")
    page.click("#shoes-undo")
    wait(page, "document.querySelector('#shoes-story').innerText.trim() === 'seed 2'")
    page.click("#shoes-undo")
    wait(page, "document.querySelector('#shoes-story').innerText.includes('›')")
    assert reading(page) == there

    content, name = download(page, "#shoes-export-report")
    assert name == "report.json"
    heel = json.loads(content)["attributes"]["heel_height"]
    assert heel["after_mm"] == pytest.approx(reading(page), abs=0.51)
    assert heel["asked"] is True
    content, _ = download(page, "#shoes-export-report-png")
    assert Image.open(io.BytesIO(content)).format == "PNG"


def test_visitors_do_not_see_one_another_and_a_reload_loses_nothing(page, browser, address):
    pick(page, 3)
    drag(page, 30)
    mine = story(page)
    with browser.new_context() as context:
        other = context.new_page()
        open_page(other, address)
        other.wait_for_timeout(300)
        assert other.locator("#shoes-stage img").count() == 0
        pick(other, 5)
        assert "seed 5" in story(other)
    assert story(page) == mine
    there = reading(page)
    page.get_by_label("Parts", exact=True).first.check()
    page.wait_for_selector("#shoes-stage .legend")
    page.reload()
    page.wait_for_selector("#shoes-stage .legend")
    assert page.get_by_label("Parts", exact=True).first.is_checked()
    assert story(page) == mine
    assert reading(page) == there
    page.click("#shoes-undo")
    wait(page, "document.querySelector('#shoes-story').innerText.trim() === 'seed 3'")


def test_a_photograph(page, photo, tmp_path):
    open_tab(page, "Photograph")
    file = page.locator("#photo-file input")

    wrong = tmp_path / "notes.txt"
    wrong.write_text("no picture")
    file.set_input_files(wrong)
    page.wait_for_selector("#photo-says .refusal")
    assert page.inner_text("#photo-says").startswith("Cannot read notes.txt: not a picture")
    assert page.is_disabled("#photo-find")

    empty = tmp_path / "white.png"
    write_image(empty, np.full((64, 64, 3), 255, np.uint8))
    file.set_input_files(empty)
    wait(page, "document.querySelector('#photo-says').innerText.includes('No shoe was found')")
    assert "--" not in page.inner_text("#photo-says")

    large = tmp_path / "large.png"
    large.write_bytes(bytes(20_000_001))
    file.set_input_files(large)
    page.wait_for_selector("#photo-file .refusal")
    assert page.inner_text("#photo-file .refusal") == "large.png has 20.0 MB; at most 20 MB are taken."

    both = tmp_path / "pair.png"
    pictures = [render_shoe(sample_parameters(5, index), 256).image for index in (3, 4)]
    write_image(both, np.concatenate(pictures, 1))
    file.set_input_files(both)
    page.wait_for_selector("#photo-which input")
    assert page.inner_text("#photo-says") == "There are 2 shoes in pair.png. Which one is it?"
    assert page.is_disabled("#photo-find")
    page.get_by_label("2 (right)").check()
    page.wait_for_selector("#photo-cut figcaption:text('cut out')")

    file.set_input_files(photo)
    page.wait_for_selector("#photo-cut figcaption:text('pump.png, cut out')")
    assert not page.is_visible("#photo-which")
    page.get_by_label("Fast", exact=True).check()
    page.click("#photo-find")
    page.wait_for_selector("#photograph-stage img", timeout=60_000)
    assert "its parts lie over the photograph's by" in page.inner_text("#photo-says")
    before = reading(page, "photograph")
    drag(page, 30, "photograph")
    assert reading(page, "photograph") > before
    page.get_by_label("In the photograph").check()
    page.wait_for_selector("#photograph-stage img[alt='the shoe in the photograph']")
    content, _ = download(page, "#photograph-export-photo")
    back, given = read_image(content), read_image(photo)
    assert back.shape == given.shape
    assert np.array_equal(back[:20], given[:20])  # above the shoe
    assert not np.array_equal(back, given)


def test_a_search_can_be_stopped(page, photo):
    begin_search(page, photo)
    page.wait_for_selector("#photo-cut :text('finding the shoe')")
    page.click("#photo-stop")
    page.wait_for_selector("#photo-says .refusal")
    assert page.inner_text("#photo-says").startswith("Stopped; the photograph is still here")
    assert page.is_visible("#photo-cut figcaption:text('pump.png, cut out')")


def begin_search(page, photo, quality="Best"):
    open_tab(page, "Photograph")
    page.locator("#photo-file input").set_input_files(photo)
    page.wait_for_selector("#photo-cut figcaption:text('pump.png, cut out')")
    page.get_by_label(quality, exact=True).check()
    page.click("#photo-find")


def test_searches_wait_for_one_another_and_sliders_for_none(page, photo, browser, address):
    begin_search(page, photo)
    page.wait_for_selector("#photo-cut :text('finding the shoe')")
    with browser.new_context() as context:
        other = context.new_page()
        open_page(other, address)
        pick(other)
        before = source(other)
        set_slider(other, 80)
        wait(other, f"document.querySelector('#shoes-stage img').src !== {json.dumps(before)}")
        begin_search(other, photo, "Fast")
        other.wait_for_selector("#photo-cut :text('queue')")
        other.click("#photo-stop")
        other.wait_for_selector("#photo-says .refusal")
        assert other.inner_text("#photo-says").startswith("Stopped; the photograph is still here")
        page.wait_for_selector("#photo-cut :text('finding the shoe')")
        page.click("#photo-stop")
        page.wait_for_selector("#photo-says .refusal")
        assert page.inner_text("#photo-says").startswith("Stopped")
        wait(other, "!document.querySelector('#photo-cut').innerText.includes('queue')")
        assert other.inner_text("#photo-says").startswith("Stopped")
        assert other.locator("#photograph-stage img").count() == 0
        other.click("#photo-find")
        other.wait_for_selector("#photograph-stage img")


def test_the_page_ends_in_the_middle_of_a_search(browser, photo):
    with browser.new_context() as context:
        with serving() as address:
            page = context.new_page()
            open_page(page, address)
            begin_search(page, photo)
            page.wait_for_selector("#photo-cut :text('finding the shoe')")
            asked = time.monotonic()
        assert time.monotonic() - asked < 15


def test_painting(page, photo, tmp_path):
    open_tab(page, "Paint")
    page.click("#examples button[data-index='1']")
    page.wait_for_selector("#painted img")
    before, _ = download(page, "#paint-export-map")
    page.click("#canvas button[data-part='2']")
    picture = source(page, "#painted img")
    canvas = page.locator("#canvas canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    across, down = (
        (lambda share: box["x"] + share * box["width"]),
        (lambda share: box["y"] + share * box["height"]),
    )
    page.mouse.move(across(0.8), down(0.9))
    page.mouse.down()
    page.mouse.move(across(0.86), down(0.97), steps=5)
    page.mouse.up()
    wait(page, f"document.querySelector('#painted img').src !== {json.dumps(picture)}")
    after, _ = download(page, "#paint-export-map")
    maps = [read_part_map(content, SHOE_PARTS) for content in (before, after)]
    drawn = maps[0] != maps[1]
    assert drawn.sum() > 200
    assert set(np.unique(maps[1][drawn])) == {2}
    rows, columns = np.nonzero(drawn)
    assert columns.min() > 0.74 * 256
    assert rows.min() > 0.84 * 256

    picture = source(page, "#painted img")
    page.click("#styles button[data-index='3']")
    wait(page, "document.querySelector('#styles .chosen').title === 'style 3'")
    assert source(page, "#painted img") != picture
    page.locator("#paint-style input").set_input_files(photo)
    page.wait_for_selector("#style-says .remark")
    assert page.inner_text("#style-says") == "In the style of pump.png."
    assert page.locator("#styles .chosen").count() == 0
    content, _ = download(page, "#paint-export-png")
    assert read_image(content).shape == (128, 128, 3)

    picture = source(page, "#painted img")
    wrong = tmp_path / "white.png"
    write_image(wrong, np.full((64, 64, 3), 255, np.uint8))
    page.locator("#paint-style input").set_input_files(wrong)
    page.wait_for_selector("#style-says .refusal")
    assert "no shoe is found in it" in page.inner_text("#style-says")
    assert source(page, "#painted img") == picture
    page.click("#canvas button[data-tool='clear']")
    page.wait_for_selector("#painted .empty")
    assert page.inner_text("#paint-measured") == ""
    page.click("#canvas button[data-tool='undo']")  # of that
    page.wait_for_selector("#painted img")
    picture = source(page, "#painted img")
    page.click("#canvas button[data-tool='undo']")  # of the stroke
    wait(page, f"document.querySelector('#painted img').src !== {json.dumps(picture)}")
    assert np.array_equal(read_part_map(download(page, "#paint-export-map")[0], SHOE_PARTS), maps[0])


def test_swapping(page, photo):
    open_tab(page, "Swap")
    page.click("#swap-go")
    page.wait_for_selector("#swap-says .refusal")
    assert page.inner_text("#swap-says").startswith("Still missing: The photograph")
    page.click("#swap-example")
    page.wait_for_selector("#swapped figure:nth-child(2) img")
    first, _ = download(page, "#swap-export-png")
    article = source(page, "#swap-article-shown img")
    page.locator("#swap-article input").set_input_files(photo)
    wait(page, f"document.querySelector('#swap-article-shown img').src !== {json.dumps(article)}")
    result = source(page, "#swapped figure:nth-child(2) img")
    page.click("#swap-go")
    wait(page, f"document.querySelector('#swapped figure:nth-child(2) img').src !== {json.dumps(result)}")
    second, _ = download(page, "#swap-export-png")
    first, second = read_image(first), read_image(second)
    assert first.shape == second.shape == (256, 256, 3)
    assert np.array_equal(first[:40], second[:40])  # far from the foot


def test_a_password_is_asked_for(browser):
    with serving(SHOEGEN_PASSWORD="sole & heel") as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        name, password = page.get_by_label("username"), page.get_by_label("password")
        password.wait_for(timeout=60_000)
        assert page.locator("#wall, #first-wall img").count() == 0
        name.fill("me")
        password.fill("guess")
        page.get_by_role("button", name="Login").click()
        page.get_by_text("Incorrect Credentials").wait_for()
        name.fill("me")
        password.fill("sole & heel")
        page.get_by_role("button", name="Login").click()
        page.wait_for_selector("#wall img")
