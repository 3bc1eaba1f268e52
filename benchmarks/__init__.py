"""What the README's figures come from: each module is a command that measures one thing and says so."""
