"""The boards we know: a data file and its loader, for planning and simulation without the card."""

from gpuslice.hardware.boards import MIG_PRODUCTS, Board, board, board_for, load_boards

__all__ = ["MIG_PRODUCTS", "Board", "board", "board_for", "load_boards"]
