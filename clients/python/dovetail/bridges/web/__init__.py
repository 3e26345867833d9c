"""The page for people, and the RPCs of both services over Connect, at one origin.

`forwarding` passes RPCs on, `guard` refuses what other sites send, `files` has the page, `server`
serves all of it.
"""
