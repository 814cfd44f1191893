"""Sokoban: rooms, their rules, and a generator of solvable ones. Images are `data.sokoban_image`, rewards `rewards.sokoban`."""
