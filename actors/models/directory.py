"""All families' models by name: which name means which, and what is known of those whose family is away.

It never awaits: what families say goes in, lists and answers come out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from actors.model.names import qualified
from actors.models.suitability import unsuitable
from bus import Code, RpcError, nearest
from troupe.family.v1 import WatchModelsResponse
from troupe.model.v1 import Model, ModelState

DEFAULT = "default"
"""A name for whoever answers where nobody is named."""
SHOWN = 5
"""Names that an error about an unknown one tells."""


@dataclass(slots=True)
class _Family:
    """What a family said last. away: why it does not answer now, as a sentence; empty: it does."""

    models: dict[str, Model] = field(default_factory=dict)
    heard: bool = False
    away: str = ""


class Directory:
    """All models, by family.

    first: families in the order of their claim on bare names; others follow by name. defaults: for each service the
    models that may answer who names none; the first one that is there, can be used and fits does; the first service's
    one is also called DEFAULT. chosen: the one of them that somebody has set, which answers whether it fits or not.
    aliases: other names of models, fixed; they win over models that are called so.
    """

    def __init__(
        self,
        first: Sequence[str] = (),
        defaults: Mapping[str, Sequence[str]] | None = None,
        aliases: Mapping[str, str] | None = None,
        chosen: str = "",
    ) -> None:
        self._first = list(first)
        self._defaults = defaults or {}
        self._fixed = dict(aliases or {})
        self._aliases: Mapping[str, str] = self._fixed
        self._pinned: AbstractSet[str] = frozenset()
        self._families: dict[str, _Family] = {}
        self._chosen = chosen
        self._fits: dict[str, tuple[Model, bool]] = {}
        self.on_told: list[Callable[[], None]] = []
        """Called whenever a family has told all that it has."""

    @property
    def families(self) -> list[str]:
        """In the order of their claim on bare names."""
        listed = [name for name in self._first if name in self._families]
        return [*listed, *sorted(self._families.keys() - set(listed))]

    def away(self, family: str) -> bool:
        """Whether a family does not answer now, or never has."""
        known = self._families.get(family)
        return known is None or bool(known.away) or not known.heard

    def missing(self, family: str) -> bool:
        """Whether a family was told to be lost and has not come back."""
        return bool(self.why_away(family))

    def why_away(self, family: str) -> str:
        """Why a family does not answer now, as a sentence; empty: it does."""
        return self._families[family].away

    def meet(self, family: str) -> None:
        """There is a family of this name."""
        self._families.setdefault(family, _Family())

    def replace(self, family: str, models: Iterable[Model]) -> None:
        """These are all models of a family."""
        self._families[family] = _Family({model.name: model for model in models}, heard=True)
        for told in self.on_told:
            told()

    def change(self, family: str, change: WatchModelsResponse) -> None:
        """What a watched family tells."""
        if change.whole:
            self.replace(family, change.models)
            return
        known = self._families.setdefault(family, _Family())
        known.away = ""
        known.models |= {model.name: model for model in change.models}
        for name in change.removed:
            known.models.pop(name, None)

    def lost(self, family: str, why: str) -> None:
        """A family does not answer now; `why` is a sentence."""
        self._families.setdefault(family, _Family()).away = why

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other names, and which model each means; the fixed ones among them."""
        return self._aliases

    def rename(self, aliases: Mapping[str, str]) -> None:
        """These are all other names, beside the fixed ones, which win."""
        self._aliases = {**aliases, **self._fixed}

    @property
    def fixed(self) -> Mapping[str, str]:
        """The aliases that cannot change."""
        return self._fixed

    def pin(self, models: Iterable[str]) -> None:
        """These are all models that are pinned, by qualified name."""
        self._pinned = frozenset(models)

    def withheld(self, family: str) -> list[str]:
        """Models of a family whose bare name means another: an earlier family's, or that of an alias."""
        return sorted(name for name in self._families[family].models if self._called(family, name) != name)

    def other_names(self, family: str) -> dict[str, list[str]]:
        """Aliases of a family's models, by model."""
        found: dict[str, list[str]] = {}
        for alias, name in sorted(self._aliases.items()):
            target = self._target(name)
            if target is not None and target[0] == family and alias != target[1]:
                found.setdefault(target[1], []).append(alias)
        return found

    def follows(self, alias: str) -> bool:
        """Whether of the models that serve exactly the one that an alias means is served under it."""
        target = self._target(self._aliases[alias]) if alias in self._aliases else None
        return all(
            (alias in model.served_names) == ((family, model.name) == target)
            for family, model in self._all()
            if model.state == ModelState.MODEL_STATE_READY and not self.away(family)
        )

    def is_model(self, name: str) -> bool:
        """Whether a model has this name, bare or qualified, whatever aliases say."""
        return self._target(name) is not None

    def listed(self, service: str = "") -> list[Model]:
        """All models as callers see them, by name; only those that offer a service or method, if one is given."""
        wanted = [each for each in self._defaults if not service or service.partition("/")[0] == each]
        defaults = {self.default(each) for each in wanted} - {""}
        shown = [self._shown(family, model, defaults) for family, model in self._all()]
        return sorted((model for model in shown if _offers(model, service)), key=lambda model: model.name)

    def default(self, service: str) -> str:
        """The model that answers who names none of a service; empty: there is none."""
        found = self._default(service)
        return self._called(*found) if found else ""

    def _default(self, service: str) -> tuple[str, str] | None:
        """Its family and name. One of which it is not known whether it fits waits for that, if another surely does."""
        there = self._candidates(service)
        set_by_somebody = self._target(self._aliases.get(self._chosen, self._chosen)) if self._chosen else None
        if set_by_somebody in there:
            return set_by_somebody
        sure = [each for each in there if self._known_to_fit(*each)]
        possible = [each for each in there if self._known_to_fit(*each) is not False]
        return next(iter(sure or possible or there), None)

    def _candidates(self, service: str) -> list[tuple[str, str]]:
        """Family and name of each that may be the default of a service, the first choice first."""
        usable: dict[str, tuple[str, str]] = {}
        for family, model in self._all():
            if _offers(model, service) and model.state != ModelState.MODEL_STATE_FAILED:
                for name in (self._called(family, model.name), qualified(family, model.name)):
                    usable[name] = (family, model.name)
        wanted = [self._aliases.get(name, name) for name in self._defaults.get(service, ())]
        return list(dict.fromkeys(usable[name] for name in wanted if name in usable))

    def unsure(self) -> list[tuple[str, Model]]:
        """Those that may become a default and of which it is not known whether they fit, where there is a choice."""
        choices = [there for there in map(self._candidates, self._defaults) if len(there) > 1]
        unknown = [each for there in choices for each in there if self._known_to_fit(*each) is None]
        return [(family, self._families[family].models[name]) for family, name in unknown]

    def fits(self, family: str, model: Model, *, fits: bool) -> None:
        """Whether a model can run on the devices that there are, as long as its file is this one."""
        self._fits[qualified(family, model.name)] = (model, fits)

    def _known_to_fit(self, family: str, name: str) -> bool | None:
        known, now = self._fits.get(qualified(family, name)), self._families[family].models[name]
        if known is None or (known[0].size_bytes, known[0].modified) != (now.size_bytes, now.modified):
            return None
        return known[1]

    def shown(self, family: str, model: Model) -> Model:
        """A family's model as callers see it."""
        return self._shown(family, model, {self.default(service) for service in self._defaults} - {""})

    def _shown(self, family: str, model: Model, defaults: AbstractSet[str]) -> Model:
        shown = Model()
        shown.CopyFrom(model)
        shown.family = family
        shown.qualified_name = qualified(family, model.name)
        owner = self._owner(model.name)
        shown.name = self._called(family, model.name)
        shown.default = shown.name in defaults
        shown.aliases.extend(alias for alias in sorted(self._aliases) if self._means(alias, family, model.name))
        shown.pinned = shown.qualified_name in self._pinned
        shown.note = " ".join(filter(None, [model.note, self._clash(family, model.name, owner)]))
        away = self._families[family].away
        if away:
            shown.state, shown.error = ModelState.MODEL_STATE_UNAVAILABLE, away
            del shown.served_names[:]
        return shown

    def find(self, name: str) -> tuple[str, Model]:
        """Which model of which family a name means.

        Raises RpcError NOT_FOUND (MODEL_NOT_FOUND) with the nearest names, and UNAVAILABLE (FAMILY_UNAVAILABLE) while a
        family has not said yet what it has.
        """
        name = self._meant(name)
        target = self._target(name)
        if target is not None:
            return target[0], self._families[target[0]].models[target[1]]
        self._check_heard()
        raise self._not_found(name)

    def _target(self, name: str) -> tuple[str, str] | None:
        """Family and name of the model that a name means which is no alias; None: there is none."""
        family, _, rest = name.partition("/")
        if family in self._families and rest in self._families[family].models:
            return family, rest
        return next(((known, name) for known in self.families if name in self._families[known].models), None)

    def _meant(self, name: str) -> str:
        if name in self._aliases:
            return self._aliases[name]
        return (self.default(next(iter(self._defaults), "")) or name) if name == DEFAULT else name

    def _means(self, alias: str, family: str, name: str) -> bool:
        return self._target(self._aliases[alias]) == (family, name)

    def check_offers(self, family: str, model: Model, method: str) -> None:
        """Raises as `check_offered`, for a model that says what it offers."""
        if model.services:
            self.check_offered(self._called(family, model.name), model.services, method)

    def check_offered(self, name: str, services: Sequence[str], method: str) -> None:
        """Raises RpcError INVALID_ARGUMENT (MODEL_UNSUITABLE) if none of these services has the method.

        That a model has only some methods of a service is its own to say.
        """
        service = method.partition("/")[0]
        if method and not any(each.partition("/")[0] == service for each in services):
            usable = [model.name for model in self.listed(service) if model.state != ModelState.MODEL_STATE_FAILED]
            raise unsuitable(name, services, service, usable)

    def check_free(self, name: str) -> None:
        """Raises RpcError ALREADY_EXISTS (MODEL_EXISTS) for a name that a model or an alias has."""
        if name in self._aliases or self.is_model(name):
            what = f"an alias of {self._aliases[name]}" if name in self._aliases else "a model"
            message = f"{name} is {what} already; give the new one another name."
            raise RpcError(Code.ALREADY_EXISTS, message, reason="MODEL_EXISTS", field="new_name")

    def check_unused(self, name: str, shown: Model, *, force: bool) -> None:
        """Raises RpcError FAILED_PRECONDITION (MODEL_IN_USE) for a model that should not vanish, as callers see it."""
        if name in self._aliases:
            message = f"{name!r} is an alias; name the model itself, {shown.qualified_name}."
            raise RpcError(Code.INVALID_ARGUMENT, message, reason="ALIAS_GIVEN", field="name")
        loaded = shown.state in (
            ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_LOADING, ModelState.MODEL_STATE_DRAINING,
        )  # fmt: skip
        why = ["it is loaded"] * loaded + ["it is pinned"] * shown.pinned
        why += [f"{alias} means it" for alias in shown.aliases]
        if why and not force:
            message = f"{shown.name} is in use: {', '.join(why)}. Force it if it shall go all the same."
            raise RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_IN_USE", field="name")

    def _all(self) -> Iterator[tuple[str, Model]]:
        for family in self.families:
            for model in self._families[family].models.values():
                yield family, model

    def _called(self, family: str, name: str) -> str:
        """The name that callers use of a family's model."""
        taken = name in self._aliases and not self._means(name, family, name)
        return name if self._owner(name) == family and not taken else qualified(family, name)

    def _owner(self, name: str) -> str:
        """The family whose model a bare name means."""
        return next(family for family in self.families if name in self._families[family].models)

    def _clash(self, family: str, name: str, owner: str) -> str:
        if name in self._aliases and not self._means(name, family, name):
            return f"{name} is an alias of {self._aliases[name]}; this one is called by its full name."
        others = [each for each in self.families if each != family and name in self._families[each].models]
        if not others:
            return ""
        if owner == family:
            theirs = " and ".join(qualified(each, name) for each in others)
            return f"{name} means this model; there is also {theirs}."
        return f"{name} means {qualified(owner, name)}; this one is called by its full name."

    def _check_heard(self) -> None:
        silent = [family for family in self.families if not self._families[family].heard]
        if silent or not self._families:
            raise family_starting(silent[0] if silent else "")

    def _alike(self, name: str, listed: Iterable[Model]) -> list[str]:
        """Names of models and aliases that look most like one that there is not."""
        called: dict[str, list[str]] = {alias: [alias] for alias in self._aliases}
        for model in listed:
            called.setdefault(_asked_for(model.qualified_name, self._families), []).append(model.name)
        asked = _asked_for(name, self._families)
        family = "" if asked == name else name.partition("/")[0]
        found = [sorted(called[each], key=lambda told: _family_in(told) != family) for each in nearest(asked, called)]
        return list(dict.fromkeys(told for each in found for told in each))[:SHOWN]

    def _not_found(self, name: str) -> RpcError:
        listed = self.listed()
        close = self._alike(name, listed)
        some = sorted(model.name for model in listed)[:SHOWN]
        others = f"Those there are: {', '.join(some)}." if some else "There is no model at all."
        hint = f"Did you mean {' or '.join(close)}?" if close else others
        return RpcError(
            Code.NOT_FOUND,
            f"There is no model {name[:200]!r}. {hint}",
            reason="MODEL_NOT_FOUND",
            metadata={"name": name[:200], "nearest": ",".join(close)},
            field="model",
        )


def _asked_for(name: str, families: Iterable[str]) -> str:
    """The part of a name that tells models apart: without the family's, which all of its models have."""
    family, slash, rest = name.partition("/")
    return rest if slash and family in families else name


def _family_in(name: str) -> str:
    """The family that a full name begins with; empty: it is no full name."""
    return name.rpartition("/")[0]


def family_unavailable(family: str, why: str) -> RpcError:
    """A family cannot be asked now. `why` is a sentence."""
    who = f"The family {family}" if family else "Every family of models"
    return _unavailable(family, f"{who} is away: {why} It is started again by itself; try again in a moment.")


def family_starting(family: str) -> RpcError:
    """A family has not said yet what it has; empty: none has."""
    who = f"The family {family} has not" if family else "No family of models has"
    return _unavailable(family, f"{who} said yet which models it has; try again in a moment.")


def _unavailable(family: str, message: str) -> RpcError:
    metadata = {"family": family} if family else {}
    return RpcError(Code.UNAVAILABLE, message, reason="FAMILY_UNAVAILABLE", metadata=metadata, retry_after=1.0)


def _offers(model: Model, service: str) -> bool:
    """Whether a model offers a service, or a method of one."""
    return not service or service in model.services or service.partition("/")[0] in model.services
