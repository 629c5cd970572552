"""Idle motion: small, smooth, never twice the same, and equal on both ends."""

import json

import numpy as np

from avatar import idle


def test_parameters_travel_as_json():
    assert json.loads(json.dumps(idle.parameters()))["blink"]["slot_ms"] == idle.BLINK_SLOT_MS


def test_the_head_sways_a_little_and_smoothly():
    poses = [idle.pose(t) for t in range(0, 120_000, 40)]
    for values, most, step in (
        ([pose.x_px for pose in poses], 2.5, 0.2),
        ([pose.y_px for pose in poses], 1.5, 0.2),
        ([pose.angle_deg for pose in poses], 0.8, 0.06),
        ([pose.breath_px for pose in poses], 1.7, 0.2),
    ):
        assert np.abs(values).max() <= most and np.ptp(values) > 0.5 * most
        assert np.abs(np.diff(values)).max() < step


def test_blinks_are_about_fifteen_a_minute_whole_and_short():
    lids = np.array([idle.blink(t) for t in range(0, 600_000, 10)])
    shut = lids > 0.99
    blinks = int((np.diff(shut.astype(int)) == 1).sum())
    assert 120 <= blinks <= 220
    assert lids.min() == 0 and lids.max() == 1
    assert 0.02 < (lids > 0).mean() < 0.15


def test_blinks_are_not_a_metronome():
    starts = [start for slot in range(60) for start in idle.blink_starts(slot)]
    assert starts == sorted(starts)
    assert np.std(np.diff(starts)) > 500


def test_the_hash_is_the_one_the_client_computes():
    # Vectors for the page's own implementation.
    assert [round(idle.blink_starts(slot)[0]) for slot in range(4)] == [1054, 4811, 10155, 12979]


def test_nod_begins_and_ends_at_rest():
    assert idle.nod(-1) == idle.nod(idle.NOD_MS) == 0
    assert max(idle.nod(t) for t in range(idle.NOD_MS)) > 2
    assert abs(idle.nod(1)) < 0.1


def test_warp_moves_the_head_and_leaves_the_background():
    head = np.zeros((64, 64), np.float32)
    head[10:40, 20:44] = 1.0
    warp = idle.Warp(head, (32.0, 40.0))
    still_x, still_y = warp.maps(idle.Pose())
    assert np.array_equal(still_x[5], np.arange(64)) and np.array_equal(still_y[:, 5], np.arange(64))
    map_x, map_y = warp.maps(idle.Pose(x_px=2.0, y_px=1.0))
    assert map_x[20, 30] == 28 and map_y[20, 30] == 19
    assert map_x[5, 5] == 5 and map_y[5, 5] == 5
    turned_x, _ = warp.maps(idle.Pose(angle_deg=1.0))
    assert turned_x[12, 30] != 30 and abs(turned_x[12, 30] - 30) < 1
    _, breathing = warp.maps(idle.Pose(breath_px=2.0))
    assert breathing[63, 5] == 65 and breathing[5, 5] == 5
