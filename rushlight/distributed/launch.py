"""The launcher's old name (torch.distributed.launch)."""

from __future__ import annotations

from rushlight.distributed.run import get_args_parser, main, parse_args, run

__all__ = ["get_args_parser", "main", "parse_args", "run"]

if __name__ == "__main__":
    main()
