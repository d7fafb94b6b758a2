"""The result: LoRA layers on a frozen network, the immutable adapter, its file and metadata."""

from .erasure_adapter import ErasureAdapter, Factors
from .file import adapter_from_tensors, load_adapter, read_metadata, save_adapter, state_dict, store_scores
from .lora import PARAMETER_SETS, LoraLayer, LoraNetwork, select_modules

__all__ = [
    "PARAMETER_SETS", "ErasureAdapter", "Factors", "LoraLayer", "LoraNetwork",
    "adapter_from_tensors", "load_adapter", "read_metadata", "save_adapter", "select_modules", "state_dict", "store_scores",
]
