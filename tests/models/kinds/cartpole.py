"""A reinforcement learning environment."""

import gymnasium

from primer.data.environment import Environment


class CartPole(Environment):
    """Balancing a pole on a cart (Barto, Sutton and Anderson 1983)."""

    def make(self):
        return gymnasium.make("CartPole-v1")
