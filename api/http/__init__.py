"""What every route shares: answers, dependencies, routing, problems, middleware, the contract, logs.

Nothing here knows a resource; what one resource alone needs is in its own module beside this package.
"""
