"""Every command says how it is used, here and in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepfit.cli.application import COMMANDS, EXIT_CODES, root

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(run, name):
    text = run(name, "--help").output
    assert "Examples:" in text
    assert f"keepfit {name} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name):
    text = DOCUMENT.read_text()
    assert f"## keepfit {name}" in text
    command = root.get_command(None, name)
    section = text.split(f"## keepfit {name}\n")[1].split("\n## ")[0]
    for parameter in command.params:
        for option in parameter.opts if parameter.param_type_name == "option" else ():
            assert f"`{option}" in section, f"{option} of keepfit {name} is not in docs/cli.md"


def test_all_exit_codes_are_in_the_help_and_the_documentation(run):
    for code, meaning in EXIT_CODES.items():
        assert f"{code}  {meaning}" in run("--help").output
        assert f"| {code} | {meaning} |" in DOCUMENT.read_text()


def test_an_unknown_command_is_a_usage_error_with_a_close_match(run):
    result = run("leaderbord")
    assert result.exit_code == 2
    assert "Did you mean 'leaderboard'?" in result.stderr
