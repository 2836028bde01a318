"""``keepfit serve``: predictions over HTTP."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from keepfit.cli.screen import TRUSTED, say

if TYPE_CHECKING:
    from keepfit.serve.server import ServerSettings

__all__ = ["command"]

_EPILOG = """\b
Examples:
  keepfit serve model.safetensors
  keepfit serve state.db --port 9000
  keepfit token create --role infer state.db     # then, on another machine's word:
  keepfit serve state.db --host 0.0.0.0 --ssl-certfile cert.pem --ssl-keyfile key.pem
  keepfit serve state.db --uploads               # with tokens for uploads
\b
Ask it:
  curl http://127.0.0.1:8000/v2/models/rf
  curl http://127.0.0.1:8000/predict/rf -H 'content-type: application/json' -d '[{"age": 41, "income": 3100}]'
Ctrl-C stops it when all requests are answered, a second one at once.
"""

#: Where arithmetic in workers would start threads of its own: there is one worker per core already.
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

_LEVELS = ("debug", "info", "warning", "error")
_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)


@click.command(epilog=_EPILOG, short_help="Answer requests for predictions over HTTP.")
@click.argument("models", metavar="[STORE|FOLDER|FILE]", default="state.db")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen. Others than this machine: tokens."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for a free one.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, help="Processes that predict; one per core by default."
)
@click.option("--jails", type=_COUNT, default=8, show_default=True, help="Processes for tenants' models at a time.")
@click.option("--batching/--no-batching", default=True, show_default=True, help="Predict together on what waits.")
@click.option(
    "--timeout", "timeout_s", type=_SECONDS, default=30.0, show_default=True, help="Seconds for a prediction."
)
@click.option("--max-body-bytes", type=_COUNT, help="The longest request.  [default: 67108864]")
@click.option("--tokens", metavar="STORE", help="Where tokens are, when what is served is no store.")
@click.option("--no-auth", is_flag=True, help="Let anybody ask for predictions, at any address.")
@click.option("--uploads", is_flag=True, help="Take models from who has a token for that.")
@click.option("--convert-uploads", is_flag=True, help="Take pickle and joblib files too, where they convert.")
@click.option("--max-upload-bytes", type=_COUNT, help="The longest file of an upload.  [default: 500000000]")
@click.option("--max-tenant-bytes", type=_COUNT, help="What a tenant may keep.  [default: 5000000000]")
@click.option(
    "--allow-weak-isolation", is_flag=True, help="Run uploaded models also where the kernel cannot jail them."
)
@click.option("--trusted", multiple=True, metavar="NAME", help=TRUSTED)
@click.option("--spool", metavar="FOLDER", help="Where copies are that workers map.  [default: the temporary folder]")
@click.option("--reload-s", type=_SECONDS, default=2.0, show_default=True, help="How often to look for new models.")
@click.option(
    "--grace", "grace_s", type=_SECONDS, default=30.0, show_default=True, help="Seconds to finish at the end."
)
@click.option("--keep-alive", "keep_alive_s", type=_SECONDS, default=5.0, show_default=True, help="Idle connections.")
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="Of the JSON log.")
@click.option("--no-access-log", is_flag=True, help="No line in the log for each request.")
@click.option("--ssl-certfile", metavar="FILE", help="The certificate, for https.")
@click.option("--ssl-keyfile", metavar="FILE", help="Its key.")
@click.option("--ssl-keyfile-password", metavar="TEXT", envvar="KEEPFIT_SSL_KEYFILE_PASSWORD", help="Of the key.")
def command(models: str, log_level: str, no_access_log: bool, **options: Any) -> None:
    """Answer requests for predictions over HTTP, by the Open Inference Protocol and as plain JSON or CSV.

    Serves all models of a store, the files in a folder, or one file, and notices new versions by itself. The log goes
    to standard output, a line of JSON each; what is served, and how, is said on standard error.
    """
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    _check_extra()
    from keepfit.serve.logs import configure_logging
    from keepfit.serve.server import Server

    configure_logging(level=log_level, access=not no_access_log, stream=sys.stdout)
    Server(_settings(models, options), say).run()


def _check_extra() -> None:
    from keepfit.errors import ServeError

    for name in ("starlette", "uvicorn", "prometheus_client"):
        try:
            import_module(name)
        except ImportError:
            raise ServeError(
                "keepfit serve needs an extra: pip install 'keepfit[serve]'; in a clone, '.[serve]'"
            ) from None


def _settings(models: str, options: dict[str, Any]) -> ServerSettings:
    from dataclasses import replace

    from keepfit.cli.addresses import is_store, look_here_for, open_store
    from keepfit.serve.limits import HttpLimits
    from keepfit.serve.pool import PoolSettings
    from keepfit.serve.server import ServerSettings
    from keepfit.serve.uploads import UploadLimits

    trusted = options["trusted"]
    look_here_for(trusted)
    given = {"file_bytes": options["max_upload_bytes"], "tenant_bytes": options["max_tenant_bytes"]}
    uploads = replace(UploadLimits(), **{name: value for name, value in given.items() if value is not None})
    http = HttpLimits(upload_bytes=uploads.file_bytes * 3 // 2)  # base64 makes a third more of it, in JSON
    if options["max_body_bytes"] is not None:
        http = replace(http, body_bytes=options["max_body_bytes"])
    pool = PoolSettings(
        workers=options["workers"],
        jails=options["jails"],
        batching=options["batching"],
        timeout_s=options["timeout_s"],
        cpu_s=options["timeout_s"],
        imports=tuple(name.rpartition(".")[0] for name in trusted),
    )
    tls = {name: options[name] for name in ("ssl_certfile", "ssl_keyfile", "ssl_keyfile_password") if options[name]}
    if tls and "ssl_certfile" not in tls:
        raise click.UsageError("--ssl-keyfile goes with --ssl-certfile")
    same = (
        "host",
        "port",
        "no_auth",
        "uploads",
        "allow_weak_isolation",
        "trusted",
        "spool",
        "reload_s",
        "grace_s",
        "keep_alive_s",
    )
    return ServerSettings(
        place=open_store(models) if is_store(models) else models,
        tokens=None if options["tokens"] is None else open_store(options["tokens"]),
        converts=options["convert_uploads"],
        pool=pool,
        http=http,
        upload_limits=uploads,
        tls=tls,
        **{name: options[name] for name in same},
    )
