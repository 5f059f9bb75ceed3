"""An independent b1.58 decoder: NumPy, float64, no code shared with the C++ side."""

from .gguf import Gguf
from .graph import BLOCKS_OF_32, TOKEN, Reference, Variant, nmse
from .tensor_types import Tile, Unsaid

__all__ = ["BLOCKS_OF_32", "TOKEN", "Gguf", "Reference", "Tile", "Unsaid", "Variant", "nmse"]
