"""`shoegen app`: the page."""

from __future__ import annotations

import contextlib

import click

from shoegen.cli._completion import complete_model


@click.command()
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A generator's file, or a run folder.",
)
@click.option("--painter", default="default", show_default=True, help="A spade.safetensors, or a run folder.")
@click.option("--swapper", default="default", show_default=True, help="A cagan.safetensors, or a run folder.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen; 0.0.0.0 lets other machines in.",
)
@click.option("--port", type=int, default=7860, show_default=True, help="0 takes any that is free.")
@click.option(
    "--password",
    is_flag=False,
    flag_value="",
    envvar="SHOEGEN_PASSWORD",
    help="Ask visitors for it. Without a value it is asked for here. Better in the environment: SHOEGEN_PASSWORD.",
)
@click.option(
    "--max-upload",
    type=float,
    default=20.0,
    show_default=True,
    help="Megabytes of a picture at most.",
)
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open it in the browser.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def command(
    model: str,
    painter: str,
    swapper: str,
    host: str,
    port: int,
    password: str | None,
    max_upload: float,
    opens: bool,
    device: str,
) -> None:
    """A page in the browser: shoes and sliders, photographs, painting, swapping.

    \b
    shoegen app
    shoegen app --model runs/shoes --port 8000
    SHOEGEN_PASSWORD=… shoegen app --host 0.0.0.0 --no-open

    It works offline and is seen by this machine alone, unless --host says otherwise. It needs: pip install
    'shoegen[app]'.
    """
    import webbrowser

    from shoegen.app import Options, Server
    from shoegen.app.options import MEGABYTE
    from shoegen.errors import ConfigError

    if password == "":
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not 0.001 <= max_upload <= 1000:  # nor NaN
        raise ConfigError(f"--max-upload: got {max_upload:g}, expected 0.001 to 1000 megabytes")
    options = Options(
        model=model,
        painter=painter,
        swapper=swapper,
        host=host,
        port=port,
        password=password,
        max_upload=round(max_upload * MEGABYTE),
        device=device,
    )
    server = Server(options)
    if options.is_public and password is None:
        click.echo("note: everyone who can reach this machine can use the page; give --password", err=True)

    def listening() -> None:
        click.echo(f"shoegen is at {server.address} (Ctrl+C ends it)")
        if opens:
            webbrowser.open(server.address)

    with contextlib.suppress(KeyboardInterrupt):  # the way to end it, as was said
        server.run(listening)
