"""Layers with weights of 8 bits and float32 in and out: each input is quantized by its own range."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.ao import kernels
from rushlight.ao.nn.quantized import layers


class Linear(layers.Linear):
    """y = x · weightᵀ + bias of float32 tensors by int8 products;
    with dtype float16 the weights are kept in half precision."""

    def __init__(self, in_features: int, out_features: int, bias_: bool = True, dtype: Any = None):
        super().__init__(in_features, out_features, bias_)
        self._half = None
        if dtype is rl.float16:
            self._half = rl.zeros(out_features, in_features, dtype=rl.float16)
        elif dtype not in (None, rl.qint8):
            raise RuntimeError("Unsupported dtype specified for dynamic quantized Linear! "
                               "torch.qint8 and torch.float16 are")

    def forward(self, x: Any) -> Any:
        with rl.no_grad():
            if self._half is not None:
                return nn.functional.linear(x, self._half.float(), self.bias())
            return kernels.dynamic_linear(x, self._weights, self._relu)

    def _get_name(self) -> str:
        return "DynamicQuantizedLinear"

    def extra_repr(self) -> str:
        kind = "torch.float16" if self._half is not None else f"torch.qint8, qscheme={self.weight().qscheme()}"
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype={kind}"

    def weight(self) -> Any:
        """The quantized weight, or that of half precision."""
        return self._half if getattr(self, "_half", None) is not None else super().weight()

    def _set(self, weight: Any, bias: Any) -> None:
        if weight.dtype is rl.float16:
            self._half = weight
            empty = rl.quantize_per_tensor(rl.zeros(1, 1), 1.0, 0, rl.qint8)
            self._weights = kernels.Weights(empty, bias)
            return
        super()._set(weight, bias)

    def _take(self, given: dict[str, Any]) -> None:
        self._half = None
        super()._take(given)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The dynamic form of a Linear with a qconfig."""
        config = getattr(mod, "qconfig", None)
        layer = mod[0] if isinstance(mod, nn.Sequential) else mod
        made = cls(layer.in_features, layer.out_features)
        bias = None if layer.bias is None else layer.bias.detach().clone()
        from rushlight.ao.quantization.qconfig import default_dynamic_qconfig
        observer = (config or default_dynamic_qconfig).weight()
        if observer.dtype is rl.float16:
            made._set(layer.weight.detach().half(), bias)
        else:
            made._set(layers.quantized_weight(layer.weight, layers.observed(layer.weight, observer)), bias)
        return made


class LinearReLU(Linear):
    """A dynamic Linear and relu."""

    _relu = True


class _Recurrent(nn.Module):
    """Recurrent layers whose products are dynamic linear layers.
    Parameters of the float layer become `cells`, a pair each."""

    gates = 1

    def __init__(self, layer: Any, config: Any):
        super().__init__()
        if getattr(layer, "proj_size", 0):
            raise NotImplementedError("dynamic quantization of an LSTM with proj_size is not supported")
        for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"):
            setattr(self, name, getattr(layer, name))
        self.nonlinearity = getattr(layer, "nonlinearity", "tanh")
        self.directions = 2 if self.bidirectional else 1
        self.cells = nn.ModuleList()
        for at in range(self.num_layers * self.directions):
            suffix = f"_l{at // self.directions}" + ("_reverse" if at % self.directions else "")
            for part in ("ih", "hh"):
                weight = getattr(layer, f"weight_{part}{suffix}")
                plain = nn.Linear(weight.shape[1], weight.shape[0], bias=self.bias)
                with rl.no_grad():
                    plain.weight.copy_(weight)
                    if self.bias:
                        plain.bias.copy_(getattr(layer, f"bias_{part}{suffix}"))
                plain.qconfig = config
                self.cells.append(Linear.from_float(plain))

    def _step(self, given: Any, state: tuple[Any, ...], hidden: Any) -> tuple[Any, ...]:
        raise NotImplementedError

    def _direction(self, x: Any, at: int, state: tuple[Any, ...], reverse: bool) -> tuple[Any, tuple[Any, ...]]:
        ih, hh = self.cells[2 * at], self.cells[2 * at + 1]
        given = ih(x)
        out: list[Any] = [None] * x.shape[0]
        for t in reversed(range(x.shape[0])) if reverse else range(x.shape[0]):
            state = self._step(given[t], state, hh(state[0]))
            out[t] = state[0]
        return rl.stack(out), state

    def _run(self, x: Any, states: tuple[Any, ...] | None, count: int) -> tuple[Any, tuple[Any, ...]]:
        """All layers over (T, N, input): outputs, and the last states, each (layers · directions, N, hidden)."""
        if states is None:
            states = tuple(rl.zeros(self.num_layers * self.directions, x.shape[1], self.hidden_size)
                           for _ in range(count))
        last: list[tuple[Any, ...]] = []
        for layer in range(self.num_layers):
            outs = []
            for d in range(self.directions):
                at = layer * self.directions + d
                y, state = self._direction(x, at, tuple(s[at] for s in states), bool(d))
                outs.append(y)
                last.append(state)
            x = outs[0] if len(outs) == 1 else rl.cat(outs, -1)
        return x, tuple(rl.stack(list(parts)) for parts in zip(*last))

    def _whole(self, input: Any, states: Any, count: int) -> tuple[Any, tuple[Any, ...]]:
        if isinstance(input, nn.utils.rnn.PackedSequence):
            raise NotImplementedError("dynamic quantized recurrent layers take padded tensors; "
                                      "unpack with pad_packed_sequence first")
        single = input.dim() == 2
        x = input.unsqueeze(0 if self.batch_first else 1) if single else input
        if states is not None and single:
            states = tuple(s.unsqueeze(1) for s in states)
        x = x.transpose(0, 1) if self.batch_first else x
        with rl.no_grad():
            y, last = self._run(x, states, count)
        y = y.transpose(0, 1) if self.batch_first else y
        if single:
            y, last = y.squeeze(0 if self.batch_first else 1), tuple(s.squeeze(1) for s in last)
        return y, last

    def extra_repr(self) -> str:
        return (f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, "
                f"batch_first={self.batch_first}, bidirectional={self.bidirectional}")

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The dynamic form of a float layer."""
        from rushlight.ao.quantization.qconfig import default_dynamic_qconfig
        return cls(mod, getattr(mod, "qconfig", None) or default_dynamic_qconfig)


class LSTM(_Recurrent):
    """An LSTM with weights of 8 bits (half precision with `float16_dynamic_qconfig`).
    Made from an nn.LSTM by quantize_dynamic."""

    def _step(self, given: Any, state: tuple[Any, ...], hidden: Any) -> tuple[Any, ...]:
        i, f, g, o = (given + hidden).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def forward(self, input: Any, hx: Any = None) -> Any:
        return self._whole(input, hx, 2)


class GRU(_Recurrent):
    """A GRU with weights of 8 bits. Made from an nn.GRU by quantize_dynamic."""

    def _step(self, given: Any, state: tuple[Any, ...], hidden: Any) -> tuple[Any, ...]:
        r_x, z_x, n_x = given.chunk(3, -1)
        r_h, z_h, n_h = hidden.chunk(3, -1)
        r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
        n = (n_x + r * n_h).tanh()
        return (n + z * (state[0] - n),)

    def forward(self, input: Any, hx: Any = None) -> Any:
        y, last = self._whole(input, None if hx is None else (hx,), 1)
        return y, last[0]

__all__ = ["GRU", "LSTM", "Linear", "LinearReLU"]
