"""What a run writes down and shows: folder, metrics, checkpoints' safety, trackers, console.

The interface that `run.py` uses (the lead's wish; the names may be bettered, then mend run.py):

    folder = RunFolder.create(path, config_yaml) | RunFolder.open(path)   # path, hf_folder, rollouts and metrics inside
    folder.append_metrics({...})            # one row of metrics.jsonl, flushed and fsynced
    folder.append_rollouts([{...}, ...])
    with folder.checkpoint(step, keep=2) as partial: ...   # write aside; manifest, rename, delete old ones at exit
    folder.newest_checkpoint() -> Checkpoint(step, path) | None      # complete ones only
    folder.cut_after(step)                  # drops rows of later steps
    folder.write_summary({...})
    clock = Clock(console); with clock.phase("generate"): ...; clock.take() -> {"time/generate": s, ..., "time/step": s}
    console = open_console(total_steps=...); console.step(step, row); console.message(text); console.close()
    trackers = open_trackers(names, folder, config_dict); trackers.log(row, step=step); trackers.close()
"""
