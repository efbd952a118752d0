"""What is shown of messages that come from code that is not ours."""

from repaudit.foreign import LONGEST, said


def test_a_message_of_one_line_is_shown_as_it_is():
    assert said(ValueError("mat1 and mat2")) == "ValueError: mat1 and mat2"
    assert said(ValueError()) == "ValueError"


def test_lines_that_say_what_was_met_and_what_was_wanted_are_kept():
    onnxruntime = RuntimeError(
        "Got invalid dimensions for input: x for the following indices\n index: 1 Got: 64 Expected: 32\n"
        " index: 2 Got: 64 Expected: 32\n Please fix either the inputs/outputs or the model."
    )
    script = RuntimeError(
        "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript (most recent call "
        'last):\n  File "code/net.py", line 3, in forward\n    _0 = torch.conv2d(x, w)\n         ~~~~ <--- HERE\n'
        "RuntimeError: expected input[4, 64, 64, 3] to have 3 channels, but got 64 channels instead\n"
    )

    assert said(onnxruntime).endswith("indices … index: 1 Got: 64 Expected: 32 … index: 2 Got: 64 Expected: 32")
    assert said(script).endswith(
        "interpreter. … RuntimeError: expected input[4, 64, 64, 3] to have 3 channels, but got 64 channels instead"
    )


def test_a_message_of_any_length_stays_one_bounded_line():
    told = said(RuntimeError("got 1, expected 2\n" * 1000 + "x" * 10_000))

    assert "\n" not in told
    assert len(told) < LONGEST + 30
