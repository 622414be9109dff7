"""What operations of management take and give."""
