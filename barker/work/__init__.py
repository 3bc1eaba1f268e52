"""What bizlogic does: who must see a bark, and bringing it to them."""
