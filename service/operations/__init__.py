"""How anything is changed: recorded before, made once, its outcome recorded after, and settled where that was lost.

Knows the kinds of work, not what they are about: what one action does is said by the area that registers it.
"""
