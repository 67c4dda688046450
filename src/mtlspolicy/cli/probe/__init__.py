"""``mtlspolicy probe``: what a server says on real connections, what is to be made of it, and how it is printed.

`_command` reads the arguments; `_connect` and what it calls see; `_judge` judges; `_table`, `_json` and `_html` print.
Nothing is loaded here, so that the other commands do not pay for it.
"""
