#!/bin/sh
# Responds with what it gets. Connect with a key of a Mecha, and call it with a key of the account:
#
#   mecha connect --profile mecha --handle chat=examples/echo.sh
#   mecha trigger chat '{"message": "Hello"}'
exec cat
