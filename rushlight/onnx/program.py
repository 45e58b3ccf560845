"""ONNXProgram: an exported model in memory."""

from __future__ import annotations

from typing import Any

from rushlight.onnx.errors import OnnxExporterError


class ONNXProgram:
    """What `export` returns: ``model_proto``, ``save(path)``; calling it runs the model with onnxruntime or, without
    that, onnx's reference evaluator."""

    def __init__(self, model_proto: Any, exported_program: Any, flat: Any):
        self.model_proto, self.exported_program, self._flat = model_proto, exported_program, flat
        self._session: Any = None

    @property
    def model(self) -> Any:
        """The model."""
        return self.model_proto

    def save(
        self,
        destination: Any,
        *,
        include_initializers: bool = True,
        keep_initializers_as_inputs: bool = False,
        external_data: bool | None = None,
    ) -> None:
        """Write the model to a path; initializers go to a file beside it
        where asked, or where the model is over 2 GB."""
        from rushlight.onnx.model import onnx_package

        onnx = onnx_package()
        model = self.model_proto
        if not include_initializers or keep_initializers_as_inputs:
            raise OnnxExporterError("save: export with export_params=False or keep_initializers_as_inputs=True instead")
        if external_data or model.ByteSize() >= 1 << 31:
            onnx.save_model(
                model, str(destination), save_as_external_data=True, location=f"{_file_name(destination)}.data"
            )
        else:
            onnx.save_model(model, str(destination))

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The results for the program's own arguments, as tensors."""
        import numpy as np

        import rushlight as rl

        inputs = [t.detach().numpy() for t in self._flat(args, kwargs)]
        names = [i.name for i in self.model_proto.graph.input]
        return tuple(rl.from_numpy(np.array(x)) for x in self._runner()(dict(zip(names, inputs))))

    call_reference = __call__

    def _runner(self) -> Any:
        if self._session is None:
            try:
                import onnxruntime

                session = onnxruntime.InferenceSession(
                    self.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
                )
            except ModuleNotFoundError:
                from onnx.reference import ReferenceEvaluator

                session = ReferenceEvaluator(self.model_proto)
            self._session = session
        return lambda feeds: self._session.run(None, feeds)

    def __repr__(self) -> str:
        graph = self.model_proto.graph
        return f"ONNXProgram({len(graph.node)} nodes, {len(graph.initializer)} initializers)"


def _file_name(path: Any) -> str:
    import os

    return os.path.basename(str(path))


__all__ = ["ONNXProgram"]
