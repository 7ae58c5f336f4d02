"""HTTP that belongs to no dialect: routes, bodies, streams, errors, ranges. Dialects stand on top of it."""
