"""`bumperlane serve`: what it refuses before it listens."""

import pytest
from click.testing import CliRunner

from bumperlane.cli import main

pytest.importorskip("starlette", reason="the extra `serve` is not installed")


def call(*args):
    return CliRunner().invoke(main, ["serve", *map(str, args)])


def test_refuses_an_address_that_others_can_reach(tmp_path):
    done = call(tmp_path, "--host", "0.0.0.0", "--port", 0)
    assert done.exit_code == 2
    assert "0.0.0.0 can be reached from other machines, and there is no password" in done.stderr


def test_refuses_a_directory_that_is_not_there(tmp_path):
    done = call(tmp_path / "gone")
    assert done.exit_code == 2 and "there is no directory" in done.stderr


def test_says_where_it_serves_and_ends_with_0_when_it_is_stopped(tmp_path, monkeypatch):
    def stopped(app, bound):
        raise KeyboardInterrupt

    monkeypatch.setattr("bumperlane.report.serve.app.serve", stopped)
    done = call(tmp_path, "--port", 0)
    assert done.exit_code == 0, done.output
    assert "0 cases under" in done.stdout and "http://127.0.0.1:" in done.stdout


def test_a_port_that_is_no_port_is_refused(tmp_path):
    assert call(tmp_path, "--port", 70000).exit_code == 2


def test_a_name_without_expose_is_refused_and_not_passed_over(tmp_path):
    done = call(tmp_path, "--name", "lab.example", "--port", 0)
    assert done.exit_code == 2 and "State --expose as well." in done.stderr


def test_it_answers_under_any_loopback_address_that_it_listens_on(tmp_path, monkeypatch):
    apps = []
    monkeypatch.setattr("bumperlane.report.serve.app.serve", lambda app, bound: apps.append(app))
    assert call(tmp_path, "--host", "127.0.0.2", "--port", 0).exit_code == 0
    from starlette.testclient import TestClient

    assert TestClient(apps[0], base_url="http://127.0.0.2:8321").get("/").status_code == 200
    assert TestClient(apps[0], base_url="http://evil.example").get("/").status_code == 421


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "x" * 70 + ".example"])
def test_a_host_that_is_not_of_this_machine_is_called_the_fault_and_not_the_port(tmp_path, host):
    done = call(tmp_path, "--host", host, "--expose", "--port", 0)
    assert done.exit_code == 2 and f"cannot listen on {host}" in done.stderr
    assert "Give a --host that is an address of this machine." in done.stderr and "--port" not in done.stderr
