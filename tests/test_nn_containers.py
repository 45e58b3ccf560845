"""Sequential, lists and dictionaries of modules and parameters, lazy modules, as in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

from nn_oracle import both


def test_sequential_as_list():
    def use(lib):
        nn = lib.nn
        seq = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh(), c=nn.Sigmoid()))
        results = [repr(seq[1:]), repr(seq.a), len(seq), repr(seq[-1])]
        seq[0] = nn.GELU()
        del seq[1]
        seq.append(nn.SiLU()).insert(1, nn.ELU()).extend([nn.Mish()])
        results += [repr(seq), repr(seq.pop(0)), repr(seq + nn.Sequential(nn.ReLU())), repr(seq * 2), repr(2 * seq)]
        seq += nn.Sequential(nn.Tanh())
        seq *= 2
        return [*results, repr(seq), [name for name in dir(seq) if name.isdigit()]]

    both(use)


def test_module_list_and_dict():
    def use(lib):
        nn = lib.nn
        layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)] + [nn.ReLU()])
        results = [repr(layers), repr(layers[1:]), len(layers + [nn.Tanh()])]
        layers.insert(1, nn.Tanh())
        layers += [nn.ELU()]
        results += [repr(layers.pop(-1)), repr(layers), repr(nn.ModuleList())]
        named = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
        named.update([["c", nn.ELU()]])
        named["d"] = nn.SiLU()
        results += [repr(named), list(named), "b" in named, repr(named.pop("b")), len(named), list(named.keys())]
        named.clear()
        return [*results, repr(named)]

    both(use)


def test_parameter_list_and_dict():
    def use(lib):
        nn = lib.nn
        params = nn.ParameterList([lib.zeros(2, 3), 5, nn.Parameter(lib.ones(1))])
        params.append(lib.zeros(1))
        params[0] = lib.ones(2)
        named = nn.ParameterDict({"b": lib.zeros(1), "a": lib.ones(2)})
        named |= nn.ParameterDict({"c": 3})
        results = [
            repr(params),
            [n for n, _ in params.named_parameters()],
            len(params[1:]),
            list(named.keys()),
            list(reversed(named)),
            named.get("z", 7),
            named.setdefault("d", 4),
            named.popitem(),
            named.pop("c"),
            [n for n, _ in named.named_parameters()],
            list(named.copy().values()),
            list((named | nn.ParameterDict({"x": 1})).keys()),
            list(named.fromkeys(["q"], 3).items()),
        ]
        return results

    both(use)


def test_lazy_modules_become_ordinary():
    def use(lib):
        nn = lib.nn
        model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
        before = repr(model)
        out = model(lib.randn(2, 3, 5, 5))
        loaded = nn.LazyLinear(2)
        loaded.load_state_dict(model[3].state_dict())
        return before, repr(model), out, model.state_dict(), loaded.weight, repr(nn.LazyLinear(2).weight)

    both(use)


def test_lazy_in_optimizer_order_of_random_numbers():
    def use(lib):
        model = lib.nn.LazyLinear(3)
        model(lib.zeros(1, 5))
        return model.weight, model.bias, lib.rand(1)

    both(use, exact=True)
