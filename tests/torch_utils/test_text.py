from shoegen.torch_utils.text import one_line


def test_what_files_say_does_not_reach_the_terminal_as_it_is():
    assert one_line("got \x1b[2J\n\nund \u202eschön \ud800") == r"got \x1b[2J und \u202eschön \ud800"
    shortened = one_line("start " + "x" * 5000 + " end")
    assert len(shortened) < 1600
    assert shortened.startswith("start ")
    assert shortened.endswith(" end")
