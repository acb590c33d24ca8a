"""What TensorBoard receives of the config."""

from __future__ import annotations

import pytest
from helpers.run_folders import figures


def test_tensorboard_has_the_settings_next_to_the_final_metrics(run_in_process) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = run_in_process("train.py", "debug=fast", "logger=tensorboard", "~callbacks.pictures").folder
    from tensorboard.plugins.hparams import plugin_data_pb2

    # Each file on its own: the number in their names, 9 or 10, does not sort as the time at which they were written.
    files = [accumulator.EventAccumulator(str(file)).Reload() for file in (folder / "tensorboard").iterdir()]
    start, *_ = [
        plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        for events in files
        if "hparams" in events._plugin_to_tag_to_content
        for tag, content in events.PluginTagToContent("hparams").items()
        if tag.endswith("session_start_info")
    ]
    settings = {
        name: value.number_value or value.string_value or value.bool_value for name, value in start.hparams.items()
    }
    assert settings["optimizer/lr"] == 0.001
    assert settings["model/hidden_sizes"] == "[128, 64]"
    assert settings["trainer/max_epochs"] == 1
    *_, tested = [events for events in files if "test/accuracy" in events.Tags()["scalars"]]
    assert tested.Scalars("test/accuracy")[-1].value == pytest.approx(figures(folder)["test/accuracy"])
