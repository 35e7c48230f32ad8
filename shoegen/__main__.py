from shoegen.cli import main

main(prog_name="shoegen")
