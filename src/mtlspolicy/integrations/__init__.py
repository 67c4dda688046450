"""One file for each framework or server that cannot simply take a context. Each is imported by its own name.

None of them decides: a `Verifier` does, and what they write for an application says which peer it admitted.
"""
