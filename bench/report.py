"""One line per figure: what was measured, its reference, their relation and the goal."""


def heading() -> None:
    print(f"{'figure':<44} {'wharfinger':>14} {'reference':>14} {'relation':>12}  goal")


def line(what: str, ours: str, reference: str, relation: str, goal: str) -> None:
    print(f"{what:<44} {ours:>14} {reference:>14} {relation:>12}  {goal}", flush=True)
