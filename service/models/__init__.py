"""The values that the interface speaks of, one module per URL segment: they are the answers' schemas too.

No behaviour beyond what a value can say of itself, and nothing that asks the outside.
"""
