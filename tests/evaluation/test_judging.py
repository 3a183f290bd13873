"""Retrieval, pose, group and landmark errors by hand-made examples."""

import numpy as np

from alrl_jax.evaluation import judging


def test_retrieval_by_nearest_of_gallery() -> None:
    gallery = np.eye(6, dtype=np.float32)
    queries = gallery[[0, 1, 3, 3, 4, 5]]
    np.testing.assert_array_equal(judging.retrieval(queries, gallery), [1, 1, 0, 1, 1, 1])


def test_ties_retrieve_no_one() -> None:
    same = np.ones((8, 4), np.float32) / 2
    assert judging.retrieval(same, same).sum() == 0
    assert judging.retrieval(same, same, top=5).sum() == 0


def test_retrieval_among_too_few_is_not_measured() -> None:
    gallery = np.eye(5, dtype=np.float32)
    assert np.isnan(judging.retrieval(gallery, gallery, top=5)).all()
    assert not np.isnan(judging.retrieval(gallery, gallery, top=1)).any()


def test_owners_name_the_person_of_a_query() -> None:
    gallery = np.eye(3, dtype=np.float32)
    queries = gallery[[2, 2, 0]]
    np.testing.assert_array_equal(judging.retrieval(queries, gallery, [2, 2, 1]), [1, 1, 0])


def test_pose_error_is_euclidean() -> None:
    a = np.array([[3.0, 4.0, 0.0]], np.float32)
    np.testing.assert_allclose(judging.pose_errors(a, np.zeros_like(a)), [5.0])


def test_group_errors_look_at_their_columns() -> None:
    names = ("smile", "gaze_yaw", "gaze_pitch", "light", "skin")
    groups = {
        "expression": ("smile",),
        "gaze": ("gaze_yaw", "gaze_pitch"),
        "light": ("light",),
        "skin": ("skin",),
    }
    factors = np.array([[1.0, 3.0, 4.0, 0.0, -2.0]], np.float32)
    errors = judging.group_errors(factors, np.zeros_like(factors), names, groups)
    np.testing.assert_allclose(errors["expression_error"], [1])
    np.testing.assert_allclose(errors["gaze_error"], [np.sqrt(12.5)])
    np.testing.assert_allclose(errors["light_error"], [0])
    np.testing.assert_allclose(errors["skin_error"], [2])


def test_hidden_landmarks_do_not_count() -> None:
    truth = np.zeros((2, 2, 2), np.float32)
    found = np.array([[[3, 4], [100, 100]], [[1, 1], [1, 1]]], np.float32)
    visible = np.array([[True, False], [False, False]])
    errors = judging.landmark_errors(found, truth, visible)
    assert errors[0] == 5 and np.isnan(errors[1])


def test_resize_leaves_the_right_size_alone() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(judging.resize(images, 16), images)
    assert judging.resize(images, 8).shape == (2, 8, 8, 3)
    np.testing.assert_allclose(judging.resize(np.full_like(images, 0.3), 8), 0.3, rtol=1e-6)
