"""The old home of weight downloads (torch.utils.model_zoo)."""

from __future__ import annotations

from rushlight.hub import load_state_dict_from_url

load_url = load_state_dict_from_url
