"""Sokoban: rooms, their rules, and a generator of solvable ones. Pictures are `data.sokoban_picture`, rewards `rewards.sokoban`."""
