#!/bin/sh
# Responds with what it gets:
#
#   mecha connect --handle chat=examples/echo.sh
#   mecha trigger chat '{"message": "Hello"}'
exec cat
