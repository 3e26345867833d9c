"""What the page of the command line says of values: texts, times and lengths."""

PAGE = """
## Values

- A text (TEXT, QUESTION, SUMMARY, MESSAGE, REASON, `--description`, `--note`) and JSON may be `-`:
  standard input, for one of them; or `@FILE`: what the file has, in UTF-8. `@@…` is a text that
  begins with `@`. Subjects, titles and names are taken as they are.
- What is read from standard input or a file is taken as it is. Pass a text that others wrote by
  standard input: as an argument that begins with `@` it would name a file of yours.
- A text that is given and empty, or white space alone, is refused: most often a variable had
  nothing. `--allow-empty` confirms it, and so does `--data` beside it. A question, a failure
  and a new task's description must say something. `task update --description ''` clears it.
- A length of time (LENGTH) is a number and a unit, in options, environment variables and in the
  file: `30s`, `1.5s`, `5m`, `2h`, `7d`, `1w`. A number alone is seconds.
- A time (TIME) is `2026-12-01T08:00`, in the zone of this machine, or with its own:
  `2026-12-01T08:00Z`, `2026-12-01T08:00+01:00`; a date alone is its midnight. Times are printed
  with their zone."""
